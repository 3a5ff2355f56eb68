// SPDX-License-Identifier: Apache-2.0
//
// What carving asks of a machine that runs: memory that can be taken out of its guest's sight and put back.
// Machine is one; tests have another, without KVM.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "memory/guest_memory.hpp"
#include "support/result.hpp"

namespace alcove::machine {

class Carvable {
  public:
    virtual ~Carvable() = default;

    // Runs `work` on the loop's thread while no vCPU is in the guest, later on; not at all when the machine
    // ends first. Works asked for meanwhile run one after the other. `work` does not end the machine.
    virtual void with_vcpus_parked(std::function<void()> work) = 0;

    // Takes RAM out of what the guest and its devices see, and gives it back; whole pages of one region,
    // while the vCPUs are parked. A guest that touches what is absent reads ones and writes nothing. After a
    // failure (out of memory) neighbouring RAM may be absent too: the machine has to be ended.
    virtual Result<void> remove_memory(memory::GuestRange range) = 0;
    virtual Result<void> restore_memory(memory::GuestRange range) = 0;

    // Before they are restored: the pages behind these ranges are there. Whoever had them was to give them
    // back, but may be gone; then they come from the host. ErrorCode::OutOfMemory: it has none now, ask
    // again.
    virtual Result<void> reserve_memory(std::span<const memory::GuestRange> ranges) = 0;

    virtual const std::shared_ptr<memory::GuestMemory>& memory() const = 0;

    // Ends the machine, later on, because it can not go on; from any thread.
    virtual void give_up(std::string detail) = 0;
};

}  // namespace alcove::machine
