// SPDX-License-Identifier: Apache-2.0
//
// The shim's line to a VMM. What it says is decoded here and handed on typed; a message that does not decode,
// or that no VMM may send, is reported as broken protocol.
#pragma once

#include <functional>
#include <memory>

#include "api/connection.hpp"
#include "api/sgx_messages.hpp"
#include "api/vmm_messages.hpp"

namespace alcove::enclave {

class VmmLink {
  public:
    struct Callbacks {
        std::function<void(const api::vmm::Started&)> on_started;
        std::function<void(const api::vmm::Ready&)> on_ready;
        std::function<void(const api::vmm::AppExit&)> on_app_exit;
        std::function<void(const api::vmm::Stopped&, const std::string& detail)> on_stopped;
        std::function<void(const api::vmm::OpenPort&)> on_open_port;
        std::function<void()> on_attestor_lost;
        std::function<void()> on_ne_line_wanted;
        std::function<void(const api::vmm::StatisticsReply&)> on_statistics;
        std::function<void(const api::vmm::SgxReply&)> on_sgx;
        std::function<void(const api::FailedRequest&)> on_sgx_refused;
        std::function<void(const Error&)> on_refused;          // it can not build the machine
        std::function<void(const Error&)> on_protocol_broken;  // the channel is closed then
        std::function<void()> on_channel_lost;
    };

    // Callbacks run from the loop only and must not destroy the link.
    static Result<std::unique_ptr<VmmLink>> create(EventLoop& loop, Fd channel, Callbacks callbacks);
    VmmLink(const VmmLink&) = delete;
    VmmLink& operator=(const VmmLink&) = delete;

    // Sends Launch as soon as the VMM has said Hello.
    void launch(api::vmm::LaunchOrder order);
    void send(Bytes message, std::vector<Fd> descriptors = {});
    // The VMM is gone: what it said before it went is handed on, and nothing after that.
    void finish();

  private:
    explicit VmmLink(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}
    Result<void> on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors);

    Callbacks callbacks_;
    std::unique_ptr<api::Connection> connection_;
};

}  // namespace alcove::enclave
