// SPDX-License-Identifier: Apache-2.0
//
// Keeps a VM's place at the attestor for as long as the VM lives: takes it up again when the VM's connection
// ended (the attestor was restarted), and says at the VM's end that nobody will come back. Both take the
// token, which the launcher got when the measurements were sealed, and which the VMM never sees.
//
//           resume(), forget()             connected: Hello and the request are sent
//     Idle ────────────────────► Waiting ────────────────────────────────────────────► Visiting
//       ▲                           ▲  nobody there, hung up, too late, "not now"          │
//       │                           └──────────────────────────────────────────────────────┤
//       └──────────────────────────────────────────────────────────── Done, or "never" ────┘
//
// It goes on until there is an answer, slower and slower. Since a VMM brings about a resume() just by
// closing its connection, the pace stays slow after a success, until a connection has lasted a while.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "api/attestor_messages.hpp"
#include "support/channel.hpp"
#include "support/event_loop.hpp"
#include "support/log.hpp"

namespace alcove::enclave {

class AttestorKeeper {
  public:
    struct Pace {
        std::chrono::milliseconds shortest{50};  // between the first two tries; the first is at once
        std::chrono::milliseconds longest{5000};
        std::chrono::milliseconds answer_within{5000};
        std::chrono::milliseconds steady_after{60'000};  // that a connection lasted: the pace begins anew
    };
    // The VM's new connection, for the VMM; or why there will be none.
    using OnResumed = std::function<void(Result<Fd>)>;

    // The loop is borrowed and outlives the object.
    AttestorKeeper(EventLoop& loop, std::string socket_path, Pace pace)
        : loop_(loop), socket_path_(std::move(socket_path)), pace_(pace) {}
    AttestorKeeper(EventLoop& loop, std::string socket_path)
        : AttestorKeeper(loop, std::move(socket_path), Pace{}) {}
    ~AttestorKeeper();
    AttestorKeeper(const AttestorKeeper&) = delete;
    AttestorKeeper& operator=(const AttestorKeeper&) = delete;

    void keep(const api::attestor::ResumeToken& token) { token_ = token; }

    // After keep(); not while one is under way. `on_resumed` is called once, from the loop, unless forget()
    // comes before.
    void resume(OnResumed on_resumed);
    // Ends everything else. Without a token there is nothing to forget.
    void forget();

    bool is_idle() const { return goal_ == Goal::None; }

  private:
    enum class Goal { None, Resume, Forget };

    void begin(Goal goal);
    void wait();
    void visit();
    Result<void> ask();
    void on_readable();
    void try_again(const Error& error);
    void finish(Result<Fd> connection);
    void leave();

    EventLoop& loop_;
    std::string socket_path_;
    Pace pace_;
    std::optional<api::attestor::ResumeToken> token_;
    Goal goal_ = Goal::None;
    OnResumed on_resumed_;
    Channel channel_;
    bool greeted_ = false;
    EventLoop::WatchId watch_ = 0;
    EventLoop::TimerId timer_ = 0;  // of the pause, or of the answer
    std::chrono::milliseconds pause_{0};
    EventLoop::Clock::time_point resumed_at_{};
    log::RateLimit log_limit_{3, std::chrono::minutes(1)};
};

}  // namespace alcove::enclave
