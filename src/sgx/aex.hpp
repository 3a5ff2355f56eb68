// SPDX-License-Identifier: Apache-2.0
//
// The asynchronous enclave exit: any event that interrupts code inside an enclave first puts its state away
// and shows the outside a state of no meaning, as if the instruction at the AEP had been interrupted. It is
// not a leaf, and cannot fault: the frame it fills was found at entry.
//
// Source: SDM vol. 3D, "Enclave Exiting Events".
#pragma once

#include "sgx/call.hpp"

namespace alcove::sgx {

enum class EventKind : uint8_t {
    Interrupt,  // also NMI, SMI, INIT, machine check, and leaving only to stop the VM
    Fault,      // an exception before the instruction
    Trap,       // an exception behind it
};

struct Event {
    EventKind kind = EventKind::Interrupt;
    Exception exception{};  // of faults and traps
    bool operator==(const Event&) const = default;
};

// Gives the event as the outside is to see it: of a page fault's address only the page.
Outcome<Event> asynchronous_exit(Call& call, const Event& event);

}  // namespace alcove::sgx
