// SPDX-License-Identifier: Apache-2.0
//
// The shim's line to the parent of a primary VM's lives (api/lives_messages.hpp). It never saw the guest,
// but its user is the VMM's, so what it says is checked as a VMM's words are.
#pragma once

#include <functional>
#include <memory>

#include "api/connection.hpp"
#include "enclave/lifecycle.hpp"

namespace alcove::enclave {

class LivesLink {
  public:
    struct Callbacks {
        std::function<void(uint32_t vmm_pid)> on_begun;
        std::function<void(ProcessEnd)> on_ended;
        std::function<void(const Error&)> on_protocol_broken;
    };

    // Callbacks run from the loop only and must not destroy the link.
    static Result<std::unique_ptr<LivesLink>> create(EventLoop& loop, Fd channel, Callbacks callbacks);
    LivesLink(const LivesLink&) = delete;
    LivesLink& operator=(const LivesLink&) = delete;

    // Begins a life and gives our end of its line. Not before the former one has ended.
    Result<Fd> begin();
    // There will be no further life: the parent ends, and a VMM that still lives with it.
    void close() { connection_->close(); }

  private:
    explicit LivesLink(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}
    Result<void> on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors);

    Callbacks callbacks_;
    bool alive_ = false;  // a life was asked for and has not ended
    std::unique_ptr<api::Connection> connection_;
};

}  // namespace alcove::enclave
