// SPDX-License-Identifier: Apache-2.0
//
// What a virtio device is to its transport, and what the transport is to it. The transport owns registers,
// negotiation and the hand-over between threads; a device sees only whole, checked queues.
//
//     creation ──► idle ──activate()──► active ──reset()──► idle ...
//                                        │  ▲
//                                        └──┘ process_queue(), and whatever the device watches itself
//
// Every function here runs on the event loop's thread, on which the device also does all of its work. The
// exception is what the constructor fixes (ids, features, sizes): it is read once by the transport.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "support/bytes.hpp"
#include "support/result.hpp"
#include "virtio/queue.hpp"

namespace alcove::virtio {

// A set of a device's queues: bit n is queue n.
using QueueMask = uint64_t;
inline constexpr size_t kMaxQueues = 64;
constexpr QueueMask queue_bit(uint16_t index) {
    return QueueMask{1} << index;
}

// A device's way to its driver. Valid from activate() until reset() returns.
class DriverLink {
  public:
    virtual ~DriverLink() = default;
    // Used buffer notification: for the queues whose take_interrupt() or publish_and_check() said yes.
    // Several at once cost one interrupt where the transport has no more than one.
    virtual void interrupt(QueueMask queues) = 0;
    // An interrupt for one of them makes the driver look at the other one too.
    virtual bool share_interrupt(uint16_t one, uint16_t other) const = 0;
    // The configuration space changed: config() is read again and the driver is told.
    virtual void config_changed() = 0;
    // The driver broke a ring, found outside of process_queue(): sets DEVICE_NEEDS_RESET, tells the driver,
    // logs (rate-limited). The device is not called any more until reset(), and should stop of its own.
    virtual void needs_reset(const Error& reason) = 0;
};

struct Activation {
    std::vector<Queue>
        queues;             // as many as queue_sizes(); those not enabled by the driver never have a chain
    uint64_t features = 0;  // accepted by the driver
    DriverLink* link = nullptr;  // borrowed
};

class VirtioDevice {
  public:
    virtual ~VirtioDevice() = default;

    virtual std::string_view name() const = 0;  // stable for ever: "vsock"
    virtual uint32_t device_id() const = 0;
    // The device's own feature bits; the transport adds VERSION_1, INDIRECT_DESC and EVENT_IDX.
    virtual uint64_t features() const { return 0; }
    virtual std::vector<uint16_t> queue_sizes() const = 0;  // largest sizes, powers of two
    // Its queues are better served by one interrupt for all, where a transport could give each its own.
    virtual bool wants_one_interrupt() const { return false; }
    // The device-specific configuration space. Read when the device is made and at config_changed().
    virtual Bytes config() const { return {}; }
    virtual void write_config(uint64_t /*offset*/, ByteView /*data*/) {}

    // The driver is ready. Each queue's process_queue() follows at once, with or without a notification.
    virtual void activate(Activation activation) = 0;
    // Ends all use of the queues and of guest memory before it returns; forgets the driver's requests.
    virtual void reset() = 0;
    // The driver made chains available (perhaps: notifications can be spurious). Only while active. A
    // failure means that the driver broke the ring: DEVICE_NEEDS_RESET.
    virtual Result<void> process_queue(uint16_t index) = 0;
};

}  // namespace alcove::virtio
