// SPDX-License-Identifier: Apache-2.0
//
// What a processor in 64-bit mode leaves on the stack of an exception's handler, and the way back out of it,
// as IRET would take it: used to undo an exception whose handler has not run yet.
//
// Source: SDM vol. 3A, "Interrupt and Exception Handling", "64-Bit Mode Stack Frame"; "Segment Descriptors".
#pragma once

#include <optional>

#include <linux/kvm.h>

#include "sgx_vm/guest_page_tables.hpp"
#include "support/endian.hpp"

namespace alcove::sgx_vm {

struct InterruptFrame {
    Le64 rip;
    Le64 cs;
    Le64 rflags;
    Le64 rsp;
    Le64 ss;

    uint8_t cpl() const { return static_cast<uint8_t>(cs & 3); }
};
static_assert(sizeof(InterruptFrame) == 40);

// A gate of the IDT: the address of the handler, if it is present and an interrupt or trap gate.
std::optional<uint64_t> handler_of(const GuestPageTables& tables, const kvm_dtable& idt, uint8_t vector);

// At `rsp`, which an exception without an error code left. Nothing: not readable.
std::optional<InterruptFrame> read_frame(const GuestPageTables& tables, uint64_t rsp);

// The special registers as they were before the exception: CS and SS are those of the frame, looked up in the
// guest's descriptor tables. Nothing when no processor would have got there.
std::optional<kvm_sregs> unwind(const GuestPageTables& tables, const kvm_sregs& in_handler,
                                const InterruptFrame& frame);

}  // namespace alcove::sgx_vm
