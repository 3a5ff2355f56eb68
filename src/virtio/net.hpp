// SPDX-License-Identifier: Apache-2.0
//
// virtio-net (VIRTIO 1.2, 5.1) with one pair of queues and no offloads: every frame is what goes over the
// wire, in one buffer. Frames are copied once through a buffer of ours, which keeps links and guest memory
// apart; at 1500 bytes the system call is what costs.
//
// Bounded both ways: a guest without receive buffers leaves frames where they come from (a tap interface
// drops them there), except for one that is in our hand; a link without room leaves frames in the guest's
// ring. After a number of frames the loop's other users get their turn.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "support/event_loop.hpp"
#include "virtio/device.hpp"
#include "virtio/net_link.hpp"
#include "virtio/net_spec.hpp"

namespace alcove::virtio {

class NetDevice : public VirtioDevice, private NetworkLink::User {
  public:
    static constexpr uint16_t kQueueSize = 256;
    static constexpr uint32_t kFramesPerTurn = 128;

    struct Settings {
        std::array<uint8_t, 6> mac{};
        uint16_t mtu = 1500;  // told to the driver
    };
    // The link is borrowed and outlives the device.
    NetDevice(EventLoop& loop, NetworkLink& link, const Settings& settings);
    ~NetDevice() override;
    NetDevice(const NetDevice&) = delete;
    NetDevice& operator=(const NetDevice&) = delete;

    std::string_view name() const override { return "net"; }
    uint32_t device_id() const override { return device_id::kNetwork; }
    uint64_t features() const override {
        return net::feature::MAC | net::feature::MTU | net::feature::STATUS;
    }
    std::vector<uint16_t> queue_sizes() const override { return {kQueueSize, kQueueSize}; }
    Bytes config() const override;

    void activate(Activation activation) override;
    void reset() override;
    Result<void> process_queue(uint16_t index) override;

    struct Counters {
        uint64_t received = 0;  // by the guest
        uint64_t sent = 0;
        uint64_t receive_dropped = 0;  // too long for the guest's buffer
        uint64_t send_dropped = 0;     // no frame, or one that wants an offload
    };
    const Counters& counters() const { return counters_; }
    bool has_link() const { return link_.is_up(); }

  private:
    // How a turn of several frames ended.
    enum class Turn {
        Done,    // no frame is left
        Limit,   // frames may be left, and others have their turn first
        Waiting  // for room in the link, or for a buffer of the guest's
    };
    Result<void> transmit();
    Result<Turn> transmit_turn();
    Result<void> receive();
    Result<Turn> receive_turn();
    // False when the guest has no buffer for it.
    Result<bool> put(ByteView frame);
    Result<void> settle(uint16_t index);
    void continue_later(Result<void> (NetDevice::*direction)());
    // Ends service to a driver that broke a ring.
    void check(const Result<void>& result);

    void frames_waiting() override;
    void room_again() override;
    void link_changed() override;

    EventLoop& loop_;
    NetworkLink& link_;
    const Settings settings_;
    std::array<std::optional<Queue>, 2> queues_;
    DriverLink* driver_ = nullptr;
    Chain chain_;
    Bytes frame_;       // kMaxFrame bytes
    size_t held_ = 0;   // length of a frame in held_frame_ that waits for a buffer; 0: none
    Bytes held_frame_;  // kMaxFrame bytes
    bool waits_for_room_ = false;
    bool is_serving_ = false;  // active, and no ring is broken
    bool tells_status_ = false;
    Counters counters_;
    std::shared_ptr<bool> alive_;  // posted tasks hold it weakly; new at each reset
};

}  // namespace alcove::virtio
