// SPDX-License-Identifier: Apache-2.0
//
// Passes on what alcoved asks about the SGX of a VM, and asks of it, and the VMM's answers: each question
// goes to the VMM, for a loss of EPC that was asked for twice happens twice.
#pragma once

#include <chrono>
#include <functional>
#include <map>

#include "api/sgx_messages.hpp"
#include "support/event_loop.hpp"

namespace alcove::enclave {

class SgxRelay {
  public:
    // All vCPUs have to stop for a loss; a smaller budget has pages written to a disk.
    static constexpr std::chrono::seconds kTimeout{8};
    static constexpr std::chrono::seconds kBudgetTimeout{15};
    using Send = std::function<void(Bytes)>;

    // The loop is borrowed and outlives the object.
    SgxRelay(EventLoop& loop, Send to_daemon) : loop_(loop), to_daemon_(std::move(to_daemon)) {}
    ~SgxRelay() { forget_waiting(); }
    SgxRelay(const SgxRelay&) = delete;
    SgxRelay& operator=(const SgxRelay&) = delete;

    // Of a VM that runs.
    void ask(api::vmm::SgxRequest question, const Send& to_vmm);
    // The question that it answers; nothing when it answers none.
    std::optional<api::vmm::SgxRequest> answer(const api::vmm::SgxReply& reply);
    void refuse(const api::FailedRequest& refusal);
    void fail(const Error& error);
    // Who waited has gone.
    void forget_waiting();

  private:
    struct Waiting {
        api::vmm::SgxRequest question;  // with the daemon's number
        EventLoop::TimerId timer;
    };
    void fail_one(uint32_t ours, const Error& error);

    EventLoop& loop_;
    Send to_daemon_;
    std::map<uint32_t, Waiting> waiting_;  // by our request id to the VMM
    uint32_t last_ = 0;
};

}  // namespace alcove::enclave
