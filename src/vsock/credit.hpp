// SPDX-License-Identifier: Apache-2.0
//
// Flow control of a stream (VIRTIO 1.2, 5.10.6.3). Each side promises the other a buffer of buf_alloc bytes
// and says, in every packet, how many bytes have left it so far (fwd_cnt); what lies between is in flight.
// All counters are modulo 2^32, so only differences count, and the guest's counters may be lies: they can
// cost the guest its own progress and nothing else.
#pragma once

#include <algorithm>
#include <cstdint>

#include "vsock/spec.hpp"

namespace alcove::vsock {

// What we promised to the guest, for its bytes on their way to a host program.
class ReceiveCredit {
  public:
    explicit ReceiveCredit(uint32_t window) : window_(window) {}

    uint32_t window() const { return window_; }
    // Bytes received and not yet forwarded. Never more than window().
    uint32_t held() const { return received_ - forwarded_; }

    // False when the guest sent more than it was allowed to.
    [[nodiscard]] bool receive(uint32_t bytes) {
        if (bytes > window_ - held()) return false;
        received_ += bytes;
        return true;
    }
    void forward(uint32_t bytes) { forwarded_ += bytes; }

    // Whether so much was forwarded since the guest last heard of it that it should hear now. At half of
    // the window the guest keeps sending meanwhile, and few packets say nothing else.
    bool should_tell() const { return forwarded_ - told_ >= window_ / 2; }

    void put_into(Header& header) const {
        header.buf_alloc = window_;
        header.fwd_cnt = forwarded_;
    }
    // A packet with these counters was handed to the guest.
    void told() { told_ = forwarded_; }

  private:
    uint32_t window_;
    uint32_t received_ = 0;
    uint32_t forwarded_ = 0;
    uint32_t told_ = 0;  // the last fwd_cnt the guest got
};

// What the guest promised to us, for a host program's bytes.
class SendCredit {
  public:
    void take_from(const Header& header) {
        buffer_ = header.buf_alloc;
        forwarded_ = header.fwd_cnt;
    }
    uint32_t buffer() const { return buffer_; }
    uint32_t available() const {
        const uint32_t in_flight = sent_ - forwarded_;
        return buffer_ - std::min(buffer_, in_flight);
    }
    void send(uint32_t bytes) { sent_ += bytes; }

  private:
    uint32_t buffer_ = 0;
    uint32_t forwarded_ = 0;
    uint32_t sent_ = 0;
};

// All windows together are bounded, because each may one day be full of bytes that nobody reads. A stream
// gets a share of what is left: few streams get much (a large window means few credit updates, each of which
// is an interrupt), thousands get little, and none goes below kMinWindow.
class WindowBudget {
  public:
    static constexpr uint32_t kMaxWindow = 512 * 1024;  // twice Linux's default buffer
    static constexpr uint32_t kMinWindow = 8 * 1024;
    struct Shares {
        uint32_t one_of = 128;  // of what is left
        uint32_t max_window = kMaxWindow;
    };

    explicit WindowBudget(uint64_t total) : WindowBudget(total, Shares()) {}
    WindowBudget(uint64_t total, const Shares& shares) : shares_(shares), left_(total) {}

    uint32_t lease() {
        const auto share =
            static_cast<uint32_t>(std::min<uint64_t>(left_ / shares_.one_of, shares_.max_window));
        const uint32_t window = std::max(share & ~uint32_t{4095}, kMinWindow);
        const uint64_t taken = std::min<uint64_t>(window, left_);
        left_ -= taken;
        owed_ += window - taken;
        return window;
    }
    void give_back(uint32_t window) {
        const uint64_t repaid = std::min<uint64_t>(owed_, window);
        owed_ -= repaid;
        left_ += window - repaid;
    }

  private:
    Shares shares_;
    uint64_t left_;
    uint64_t owed_ = 0;  // smallest windows that were leased although nothing was left
};

}  // namespace alcove::vsock
