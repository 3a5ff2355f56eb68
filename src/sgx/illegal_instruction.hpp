// SPDX-License-Identifier: Apache-2.0
//
// Instructions that enclaves may not use raise #UD there, ahead of everything else. Run in ring 3 with the
// right environment (UMIP, no I/O rights, CPUID faulting, gates of ring 0, EFER.SCE = 0, without SGX2
// CR4.TSD) they raise #GP or #UD; what they raise is translated here, before the exit stores it.
//
// Source: SDM vol. 3D, "Illegal Instructions" and "INT 3 Behavior Inside an Enclave".
#pragma once

#include "sgx/aex.hpp"
#include "support/bytes.hpp"

namespace alcove::sgx {

struct InstructionRules {
    bool debug_opt_in = false;  // of the entry
    bool rdtsc = true;          // RDTSC and RDTSCP are legal: the processor has SGX2
};

// `raw` is a fault that the processor raised in ring 3, in 64-bit mode; `bytes` are those from the faulting
// RIP on, as many of 15 as there are. Any exception but #GP stays what it is.
Event as_seen_inside(const Exception& raw, ByteView bytes, const InstructionRules& rules);

}  // namespace alcove::sgx
