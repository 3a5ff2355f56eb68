// SPDX-License-Identifier: Apache-2.0
//
// What alcoved asks of a carved enclave's memory, and who waits for the answer. The work takes its time
// (CarvedMemory); alcoved may be restarted meanwhile, and then asks again without knowing how far it came:
// the same region again is the same request, and what was given back is so for good.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "api/shim_messages.hpp"
#include "enclave/carved_memory.hpp"

namespace alcove::enclave {

class MemoryRequests {
  public:
    using Send = std::function<void(Bytes)>;

    MemoryRequests(std::unique_ptr<CarvedMemory> memory, Send to_daemon)
        : memory_(std::move(memory)), to_daemon_(std::move(to_daemon)) {}
    MemoryRequests(const MemoryRequests&) = delete;
    MemoryRequests& operator=(const MemoryRequests&) = delete;

    // In Gathering.
    void add(const api::shim::AddMemory& wish);
    // Begins when the VMM has ended and nothing else is under way.
    void give_back(const api::shim::GiveBack& wish);
    void vmm_ended();
    // The image was copied out of it; the copy has been loaded.
    void clear(memory::FileRange later, CarvedMemory::Done done);
    void complete(CarvedMemory::Done done);
    // Who waited has gone. What is under way goes on.
    void forget_waiting();

    CarvedMemory& memory() { return *memory_; }

  private:
    CarvedMemory::Done then_give_back(CarvedMemory::Done done);
    void give_back_if_possible();
    void answer(uint32_t request, const Result<void>& outcome) const;

    std::unique_ptr<CarvedMemory> memory_;
    Send to_daemon_;
    std::optional<uint32_t> add_waiting_;      // the daemon's request id
    std::vector<uint32_t> give_back_waiting_;  // the daemon's request ids
    bool wanted_back_ = false;
    bool vmm_ended_ = false;
};

}  // namespace alcove::enclave
