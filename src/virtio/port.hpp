// SPDX-License-Identifier: Apache-2.0
//
// A port with a name (VIRTIO 1.2, 5.3: a console device with one port that is no console): a way between this
// host and one program in the guest, which Linux shows as /dev/vport*p* and in /sys/class/virtio-ports.
//
//     driver   DEVICE_READY   PORT_READY              PORT_OPEN 1      bytes     PORT_OPEN 0
//     device         DEVICE_ADD     PORT_NAME, PORT_OPEN      message
//
// Towards the guest there is one message, the latest: it is for telling a program how things stand. What
// comes from the guest is handed on as it comes, at most kMaxBytes of each buffer.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "support/event_loop.hpp"
#include "virtio/device.hpp"
#include "virtio/port_spec.hpp"

namespace alcove::virtio {

class PortDevice : public VirtioDevice {
  public:
    static constexpr size_t kMaxName = 64;
    static constexpr size_t kMaxMessage = 256;  // bytes
    static constexpr size_t kMaxBytes = 4096;   // of one buffer of the guest's; the rest is lost
    // Buffers of a queue that are worked off before others have their turn.
    static constexpr uint32_t kTurn = 32;

    // Both are called from the loop, and may call tell().
    struct Handlers {
        std::function<void(bool is_open)> opened;  // by a program in the guest, or closed
        std::function<void(ByteView bytes)> came;  // of such a program
    };
    // The loop is borrowed. `name` is not empty, and at most kMaxName long.
    PortDevice(EventLoop& loop, std::string name, Handlers handlers);
    ~PortDevice() override { reset(); }

    // Takes the place of a message that the guest has not taken. Nobody gets one while the port is closed.
    void tell(Bytes message);
    bool is_open() const { return is_open_; }

    std::string_view name() const override { return "port"; }
    uint32_t device_id() const override { return device_id::kConsole; }
    uint64_t features() const override { return port::feature::MULTIPORT; }
    std::vector<uint16_t> queue_sizes() const override { return {64, 64, 64, 64}; }
    Bytes config() const override;

    void activate(Activation activation) override;
    void reset() override;
    Result<void> process_queue(uint16_t index) override;

  private:
    // What the driver is told of the port, each at most once at a time: a bit of waiting_.
    enum Announcement : uint8_t { Add = 1, Name = 2, Open = 4 };

    Result<void> serve(uint16_t index);
    void serve_now(uint16_t index);  // not because the transport asks
    Result<void> send_message();
    Result<void> send_announcements();
    Bytes announcement(Announcement which) const;
    // Into the next buffer of the driver's; false when it has none.
    Result<bool> put(uint16_t index, ByteView message);
    Result<void> take(uint16_t index);
    void take_control(const port::Control& control);
    void set_open(bool is_open);
    void continue_later(uint16_t index);

    EventLoop& loop_;
    const std::string name_;
    const Handlers handlers_;
    std::vector<Queue> queues_;
    DriverLink* link_ = nullptr;
    bool is_serving_ = false;
    bool is_multiport_ = false;
    bool is_open_ = false;
    uint8_t waiting_ = 0;
    std::optional<Bytes> message_;
    Chain chain_;
    std::array<EventLoop::TimerId, port::kQueues> timers_{};  // of queues that have more than a turn
};

}  // namespace alcove::virtio
