// SPDX-License-Identifier: Apache-2.0
#include "cpu/parking.hpp"

#include <utility>

#include "support/check.hpp"

namespace alcove::cpu {

void Parking::request(std::function<void()> parked) {
    const std::lock_guard lock(mutex_);
    ALCOVE_CHECK(!requested_, "a vCPU is parked once at a time");
    requested_ = true;
    parked_ = std::move(parked);
    direct_(Guest::Leave);
    changed_.notify_all();
}

void Parking::release() {
    const std::lock_guard lock(mutex_);
    requested_ = false;
    parked_ = {};
    if (!stopped_) direct_(Guest::Enter);
    changed_.notify_all();
}

void Parking::stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    direct_(Guest::Leave);
    changed_.notify_all();
}

void Parking::wait() {
    std::unique_lock lock(mutex_);
    while (requested_ && !stopped_) {
        if (const auto parked = std::exchange(parked_, {})) {
            lock.unlock();
            parked();
            lock.lock();
        } else {
            changed_.wait(lock);
        }
    }
}

}  // namespace alcove::cpu
