// SPDX-License-Identifier: Apache-2.0
//
// Sees to it that no vCPU stays in an enclave for long without looking at what KVM keeps for it. An INIT from
// another processor ends no KVM_RUN there: KVM takes the vCPU to be in SMM, where INIT waits and start-up
// messages are lost. Operating systems leave 10 ms between the two (SDM vol. 3A, "MP Initialization Protocol
// Algorithm"), so who is inside is made to return every kPeriod, and has a look (SgxVcpu::interrupted()).
//
//     idle ── a vCPU enters ──► ask ── kPeriod ──► look() ── nobody is inside ──► idle
//                                ▲                    │ those who are leave KVM_RUN once
//                                └────────────────────┘
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace alcove::sgx_vm {

class EnclaveWatch {
  public:
    static constexpr std::chrono::milliseconds kPeriod{4};

    // Without start() nobody is watched: a machine with one processor, where nobody else sends an INIT.
    explicit EnclaveWatch(uint32_t vcpus) : inside_(vcpus) {}

    // Before any vCPU runs. `ask`, on a vCPU's thread, wants look() to be called kPeriod later; `kick` makes
    // KVM_RUN of a vCPU return.
    void start(std::function<void()> ask, std::function<void(uint32_t vcpu)> kick);
    // True: again, kPeriod later.
    bool look();

    // By the vCPU's thread.
    void entered(uint32_t vcpu);
    void left(uint32_t vcpu);

  private:
    std::function<void()> ask_;
    std::function<void(uint32_t)> kick_;
    // Each written by its vCPU, read by look(). Sequentially consistent with watching_: either look() sees
    // who came in, or that one sees that nobody watches any more.
    std::vector<std::atomic<bool>> inside_;
    std::atomic<bool> watching_{false};  // ask_() was called, and look() will come
};

}  // namespace alcove::sgx_vm
