// SPDX-License-Identifier: Apache-2.0
//
// A value that can be reached only under its lock: state.with([](State& s) { ... }). Nothing is called back
// under a lock, so the function does its work and returns.
#pragma once

#include <mutex>
#include <utility>

namespace alcove {

template <typename T>
class Guarded {
  public:
    template <typename... Args>
    explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

    template <typename Function>
    decltype(auto) with(Function&& function) {
        const std::lock_guard lock(mutex_);
        return std::forward<Function>(function)(value_);
    }
    template <typename Function>
    decltype(auto) with(Function&& function) const {
        const std::lock_guard lock(mutex_);
        return std::forward<Function>(function)(std::as_const(value_));
    }

  private:
    mutable std::mutex mutex_;
    T value_;
};

}  // namespace alcove
