// SPDX-License-Identifier: Apache-2.0
//
// How a thread that serves a client asks the event loop's thread, to which everything belongs:
//
//     auto record = ask<VmRecord>(loop, kPatience, [&supervisor, id](auto answer) {
//     answer(supervisor.find(id)); });
//
// The question runs on the loop's thread and answers at once or later. It captures by value: when the asker
// stops waiting, the question may still run.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "support/event_loop.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

// ErrorCode::Timeout when no answer came. Never from the loop's own thread.
template <typename T, typename Question>
Result<T> ask(EventLoop& loop, std::chrono::milliseconds patience, Question question) {
    struct Shared {
        std::mutex mutex;  // guards the answer
        std::condition_variable answered;
        std::optional<Result<T>> answer;
    };
    auto shared = std::make_shared<Shared>();
    const std::function<void(Result<T>)> answer = [shared](Result<T> result) {
        {
            const std::lock_guard lock(shared->mutex);
            if (!shared->answer) shared->answer.emplace(std::move(result));
        }
        shared->answered.notify_one();
    };
    loop.post([kept = std::make_shared<Question>(std::move(question)), answer] { (*kept)(answer); });
    std::unique_lock lock(shared->mutex);
    const bool in_time =
        shared->answered.wait_for(lock, patience, [&] { return shared->answer.has_value(); });
    if (!in_time) return fail(ErrorCode::Timeout, "the daemon did not get to it in time");
    return std::move(*shared->answer);
}

}  // namespace alcove::daemon
