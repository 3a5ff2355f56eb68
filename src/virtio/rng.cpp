// SPDX-License-Identifier: Apache-2.0
#include "virtio/rng.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/random.h>

namespace alcove::virtio {

void RngDevice::activate(Activation activation) {
    queue_ = std::move(activation.queues[0]);
    link_ = activation.link;
}

void RngDevice::reset() {
    loop_.cancel(timer_);
    timer_ = 0;
    queue_.reset();
    link_ = nullptr;
}

void RngDevice::refill_allowance() {
    const auto now = EventLoop::Clock::now();
    const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(now - refilled_);
    // Capped before multiplying; a full second more than fills the burst.
    const auto microseconds = static_cast<uint64_t>(std::clamp<int64_t>(elapsed.count(), 0, 1'000'000));
    const uint64_t earned = microseconds * kBytesPerSecond / 1'000'000;
    if (earned == 0) return;
    allowance_ = static_cast<uint32_t>(std::min<uint64_t>(kBurst, allowance_ + earned));
    refilled_ = now;
}

Result<void> RngDevice::process_queue(uint16_t) {
    TRY(queue_->disable_notifications());
    refill_allowance();
    bool has_more = true;
    while (has_more) {
        const bool served_all = TRY(serve());
        if (!served_all) {
            continue_later();
            break;
        }
        has_more = TRY(queue_->enable_notifications());
    }
    const bool interrupt = TRY(queue_->publish_and_check());
    if (interrupt) link_->interrupt(queue_bit(0));
    return {};
}

// False when requests are left because the allowance is used up.
Result<bool> RngDevice::serve() {
    while (true) {
        const bool taken = TRY(queue_->pop(chain_));
        if (!taken) return true;
        const uint32_t wanted = std::min(chain_.writable_bytes, kMaxRequest);
        if (wanted > allowance_) {
            queue_->unpop(1);
            return false;
        }
        allowance_ -= wanted;
        TRY(queue_->push_used(chain_.head, fill(chain_, wanted) ? wanted : 0));
    }
}

void RngDevice::continue_later() {
    if (timer_ != 0) return;
    // Long enough to earn the largest request.
    constexpr auto kDelay = std::chrono::microseconds(1'000'000ULL * kMaxRequest / kBytesPerSecond);
    timer_ = loop_.after(kDelay, [this] {
        timer_ = 0;
        const auto result = process_queue(0);
        if (!result) link_->needs_reset(result.error());
    });
}

bool RngDevice::fill(const Chain& chain, uint32_t count) {
    std::array<uint8_t, 4096> block;
    for (uint32_t done = 0; done < count;) {
        const size_t part = std::min<size_t>(block.size(), count - done);
        ssize_t got = 0;
        do {
            got = ::getrandom(block.data(), part, 0);
        } while (got < 0 && errno == EINTR);
        if (got <= 0) return false;
        copy_to(queue_->memory(), chain.writable, done, ByteView(block).first(static_cast<size_t>(got)));
        done += static_cast<uint32_t>(got);
    }
    return true;
}

}  // namespace alcove::virtio
