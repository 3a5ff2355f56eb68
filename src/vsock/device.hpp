// SPDX-License-Identifier: Apache-2.0
//
// virtio-vsock (VIRTIO 1.2, 5.10): moves packets between the guest's queues and backends. It knows packets,
// not streams: it checks form, source and destination, hands on, and gives backends their turns at the
// receive ring.
//
// Exits and interrupts are what costs, so:
// - While the transmit queue is worked on, the guest adds packets silently. In the middle of a bulk transfer
//   it may add kSilentPackets before it rings, and we look after bulk_patience in any case. The receive
//   queue rings only when packets wait for buffers.
// - A batch ends with one interrupt decision. Returned transmit buffers are shown to the guest at once but
//   do not interrupt it on their own account: a guest that wants one gets it with the next packet it
//   receives (one interrupt serves both queues), when a quarter of its queue is waiting, or after
//   transmit_patience. Nobody waits for them in between but the allocator.
//
// The transmit queue is always drained, whatever the state of the receive queue: Linux stops reading its
// receive queue while too many of its replies wait to be transmitted, and would wait for us for ever.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "support/event_loop.hpp"
#include "support/log.hpp"
#include "virtio/device.hpp"
#include "vsock/backend.hpp"
#include "vsock/rx_ring.hpp"

namespace alcove::vsock {

class VsockDevice : public virtio::VirtioDevice {
  public:
    static constexpr uint16_t kRingSize = 256;
    static constexpr uint16_t kEventRingSize = 8;
    static constexpr uint16_t kSilentPackets = 2;
    struct Timing {
        std::chrono::milliseconds transmit_patience{25};
        std::chrono::milliseconds bulk_patience{5};
        std::chrono::milliseconds bulk_age{25};  // after so long a transfer is a bulk transfer
    };

    // Loop and backends are borrowed; backends serve different context ids. On the loop's thread.
    VsockDevice(EventLoop& loop, Cid guest_cid, std::vector<Backend*> backends, const Timing& timing);
    VsockDevice(EventLoop& loop, Cid guest_cid, std::vector<Backend*> backends)
        : VsockDevice(loop, guest_cid, std::move(backends), Timing()) {}
    ~VsockDevice() override;
    VsockDevice(const VsockDevice&) = delete;
    VsockDevice& operator=(const VsockDevice&) = delete;

    std::string_view name() const override { return "vsock"; }
    uint32_t device_id() const override { return virtio::device_id::kSocket; }
    uint64_t features() const override { return feature::STREAM; }
    std::vector<uint16_t> queue_sizes() const override { return {kRingSize, kRingSize, kEventRingSize}; }
    bool wants_one_interrupt() const override { return true; }
    Bytes config() const override;

    void activate(virtio::Activation activation) override;
    void reset() override;
    Result<void> process_queue(uint16_t index) override;

    struct Counters {
        uint64_t packets_from_guest = 0;
        uint64_t packets_malformed = 0;     // dropped: no whole header, or more payload claimed than there is
        uint64_t packets_misaddressed = 0;  // dropped: the source is not this guest
        uint64_t packets_unroutable = 0;    // answered with RST: unknown destination or type
        uint64_t replies_dropped = 0;       // ... not answered: too many wait already
        uint64_t receive_starved = 0;       // how often packets had to wait for buffers
    };
    const Counters& counters() const { return counters_; }

  private:
    Result<void> drain_transmit();
    Result<bool> drain_chains();
    Result<bool> enable_transmit_notifications();
    void route(const virtio::Chain& chain);
    void reply_reset(const Header& to);
    Result<void> fill_receive();
    Result<bool> send_turn();
    Backend* next_with_packets();
    Result<void> flush_receive();
    Result<void> settle_transmit();
    void on_wake();
    void on_transmit_timer();
    void on_bulk_timer();
    void continue_later();
    void stop();
    void break_off(const Result<void>& result);
    void log_bad_packet(const char* what, const Header& header);

    EventLoop& loop_;
    const Cid guest_cid_;
    const std::vector<Backend*> backends_;
    const Timing timing_;
    size_t next_backend_ = 0;

    // While active.
    virtio::DriverLink* link_ = nullptr;
    std::optional<RxRing> rx_;
    std::optional<virtio::Queue> tx_;
    bool is_draining_ = false;  // backends need not wake us: we are at it
    bool is_broken_ = false;    // by the guest, until reset
    bool continues_ = false;
    virtio::Chain chain_;
    std::vector<memory::GuestSlice> payload_;
    std::vector<Header> replies_;           // RST to packets that no backend serves
    uint32_t unsignalled_descriptors_ = 0;  // transmitted, shown, not interrupted for
    EventLoop::TimerId transmit_timer_ = 0;
    // Since when only large packets come from the guest and no data goes back: nobody waits for an answer
    // to each. After bulk_age_ that is a bulk transfer, to which bulk_patience at its end is little.
    std::optional<EventLoop::Clock::time_point> bulk_since_;
    std::chrono::milliseconds bulk_age_;
    EventLoop::TimerId bulk_timer_ = 0;

    Counters counters_;
    log::RateLimit bad_packet_log_{5, std::chrono::seconds(10)};
    // Posted tasks and backends' wakers that come after our end or a reset find it expired.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::vsock
