// SPDX-License-Identifier: Apache-2.0
//
// The VMM as the shim has it: its channel, its process, and the ways to end it. What it says is decoded
// here and handed on typed; a message that does not decode, or that no VMM may send, is reported as broken
// protocol. Its end is reported once, after everything it said before.
#pragma once

#include <functional>
#include <memory>

#include "api/connection.hpp"
#include "api/vmm_messages.hpp"
#include "enclave/lifecycle.hpp"

namespace alcove::enclave {

class VmmLink {
  public:
    struct Callbacks {
        std::function<void(const api::vmm::Started&)> on_started;
        std::function<void(const api::vmm::Ready&)> on_ready;
        std::function<void(const api::vmm::AppExit&)> on_app_exit;
        std::function<void(const api::vmm::Stopped&, const std::string& detail)> on_stopped;
        std::function<void(const api::vmm::OpenPort&)> on_open_port;
        std::function<void(const api::vmm::StatisticsReply&)> on_statistics;
        std::function<void(const Error&)> on_refused;          // it can not build the machine
        std::function<void(const Error&)> on_protocol_broken;  // the channel is closed then
        std::function<void()> on_channel_lost;
        std::function<void(ProcessEnd)> on_gone;
    };
    struct Descriptors {
        Fd channel;
        Fd pidfd;  // of a child of this process
        Fd kill;   // "1" written there kills it
    };

    // Callbacks run from the loop only and must not destroy the link.
    static Result<std::unique_ptr<VmmLink>> create(EventLoop& loop, Descriptors descriptors,
                                                   Callbacks callbacks);
    ~VmmLink();
    VmmLink(const VmmLink&) = delete;
    VmmLink& operator=(const VmmLink&) = delete;

    // Sends Launch as soon as the VMM has said Hello.
    void launch(api::vmm::LaunchOrder order);
    void send(Bytes message, std::vector<Fd> descriptors = {});
    void kill() const;
    const Fd& pidfd() const { return descriptors_.pidfd; }

  private:
    VmmLink(EventLoop& loop, Descriptors descriptors, Callbacks callbacks)
        : loop_(loop), descriptors_(std::move(descriptors)), callbacks_(std::move(callbacks)) {}
    Result<void> on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors);
    void on_process_end();

    EventLoop& loop_;
    Descriptors descriptors_;
    Callbacks callbacks_;
    std::unique_ptr<api::Connection> connection_;
    EventLoop::WatchId process_watch_ = 0;
};

}  // namespace alcove::enclave
