// SPDX-License-Identifier: Apache-2.0
//
// The line of a primary's VMM to alcoved (api/ne_messages.hpp), over any number of connections: alcoved may
// be restarted at any moment, and the VMM can open nothing, so it asks the shim for a new connection, once
// for each that ended. What was not answered then is said again with its old number; what nobody can be told
// yet waits.
//
//     ask() ──► given() ──► Hello both ways ──► commands, release ──► connection ends ──► ask() again
//
// alcoved is trusted, yet a connection on which it says what it should not is ended like one that broke.
//
// Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "api/connection.hpp"
#include "ne/request.hpp"
#include "support/event_loop.hpp"
#include "support/fd.hpp"

namespace alcove::vmm {

class NeLine {
  public:
    struct Callbacks {
        std::function<void()> wanted;        // the shim is to be asked for a connection
        std::function<void()> slot_changed;  // some enclave changed its state by itself
    };
    using Answered = std::function<void(const ne::Reply&)>;

    NeLine(EventLoop& loop, Callbacks callbacks) : loop_(loop), callbacks_(std::move(callbacks)) {}
    NeLine(const NeLine&) = delete;
    NeLine& operator=(const NeLine&) = delete;

    // Asks for the first connection.
    void ask();
    // The shim's answer. One that was not asked for, or that comes without its descriptor, is an error of the
    // shim's.
    Result<void> given(std::vector<Fd> descriptors);

    // One at a time: the next one after `answered`, or after a release. Neither is called from within.
    void command(const ne::Request& request, Answered answered);
    // The CPU policy of enclaves to come (api::ne::Policy): set first unless `wanted` is Policy::kAsk. At
    // once, or when alcoved has answered, or as soon as it is away: ErrorCode::ConnectionLost; or alcoved's
    // own refusal.
    void policy(uint32_t wanted, std::function<void(Result<uint32_t>)> answered);
    // Ends the command in hand, which is not answered any more, and everything that is with enclaves.
    void release(std::function<void()> released);

  private:
    struct Command {
        uint32_t number;
        ne::Request request;
        Answered answered;  // empty: a release has ended it, nobody waits for the reply
    };
    struct Release {
        uint32_t number;
        std::function<void()> released;
    };

    void on_open(uint16_t version);
    void on_closed(const Error& error);
    Result<void> on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors);
    Result<void> on_reply(const api::Envelope& envelope);
    Result<void> on_released(const api::Envelope& envelope);
    Result<void> on_policy(const api::Envelope& envelope);
    bool is_open() const { return connection_ != nullptr && connection_->is_open(); }
    void send_command();
    void send_release();

    EventLoop& loop_;
    Callbacks callbacks_;
    bool asked_ = false;
    std::unique_ptr<api::Connection> connection_;
    uint32_t last_command_ = 0;
    uint32_t last_release_ = 0;
    uint16_t version_ = 0;  // of the connection, when it is open
    uint32_t last_policy_ = 0;
    std::map<uint32_t, std::function<void(Result<uint32_t>)>> policies_;  // asked for, by number
    std::optional<Command> command_;
    std::optional<Release> release_;
};

}  // namespace alcove::vmm
