// SPDX-License-Identifier: Apache-2.0
//
// virtio-rng (VIRTIO 1.2, 5.4): fills buffers with the host's random numbers. A request gets at most
// kMaxRequest bytes, and all requests together a fixed rate with a burst, so that a guest which asks
// without end takes a bounded share of the event loop.
#pragma once

#include <memory>
#include <optional>

#include "support/event_loop.hpp"
#include "virtio/device.hpp"

namespace alcove::virtio {

class RngDevice : public VirtioDevice {
  public:
    static constexpr uint32_t kMaxRequest = 64 * 1024;
    static constexpr uint32_t kBurst = 256 * 1024;            // bytes
    static constexpr uint32_t kBytesPerSecond = 1024 * 1024;  // what the allowance grows by

    explicit RngDevice(EventLoop& loop) : loop_(loop) {}
    ~RngDevice() override { reset(); }

    std::string_view name() const override { return "rng"; }
    uint32_t device_id() const override { return device_id::kEntropy; }
    std::vector<uint16_t> queue_sizes() const override { return {64}; }

    void activate(Activation activation) override;
    void reset() override;
    Result<void> process_queue(uint16_t index) override;

  private:
    Result<bool> serve();
    // False when the host gave no random numbers.
    bool fill(const Chain& chain, uint32_t count);
    void refill_allowance();
    void continue_later();

    EventLoop& loop_;
    std::optional<Queue> queue_;
    DriverLink* link_ = nullptr;
    Chain chain_;
    uint32_t allowance_ = kBurst;  // bytes that may be given now
    EventLoop::Clock::time_point refilled_ = EventLoop::Clock::now();
    EventLoop::TimerId timer_ = 0;  // armed while requests wait for allowance
};

}  // namespace alcove::virtio
