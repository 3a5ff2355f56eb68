// SPDX-License-Identifier: Apache-2.0
//
// What every transport does alike: negotiation, queue configuration, and the hand-over between threads. A
// transport (virtio-mmio, virtio-pci) is a face of it: it translates its own registers into these, and shows
// what has changed.
//
// Two kinds of threads meet here. A vCPU writes registers on its own thread; the registers are under a lock
// that is held only for that. The device lives on the event loop's thread. What crosses over:
//
//     vCPU thread                            event loop thread
//     Status = DRIVER_OK       ──post──►     check queues, device.activate(), process every queue once
//     notify()                 ─eventfd─►    device.process_queue()
//     Status = 0               ──post──►     device.reset()
//       ... waits ...          ◄──done──
//     registers back at their start, write returns
//     what the face shows      ◄─────────    DriverLink::interrupt(), needs_reset()
//
// A reset has to be complete when the write returns: Linux's virtio-mmio driver frees its rings right
// afterwards, without reading Status back. So the vCPU waits for the loop; the loop in turn never waits for a
// vCPU while transports are in use. Before a machine joins its vCPU threads it calls stop(), which lets
// waiting vCPUs go and ends the device.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "support/event_fd.hpp"
#include "support/event_loop.hpp"
#include "support/guarded.hpp"
#include "support/log.hpp"
#include "virtio/device.hpp"

namespace alcove::virtio {

// The registers, whatever a transport calls them and wherever it has them.
struct TransportRegisters {
    struct QueueRegisters {
        uint16_t largest_size = 0;  // the device's
        uint32_t size = 0;
        uint64_t descriptor_table = 0;
        uint64_t available_ring = 0;
        uint64_t used_ring = 0;
        bool ready = false;
    };
    uint64_t device_features = 0;  // offered
    uint32_t device_features_sel = 0;
    uint32_t driver_features_sel = 0;
    uint32_t queue_sel = 0;
    uint32_t status = 0;
    uint64_t driver_features = 0;
    std::vector<QueueRegisters> queues;

    const QueueRegisters* selected_queue() const {
        return queue_sel < queues.size() ? &queues[queue_sel] : nullptr;
    }
};

// One 32-bit half of a 64-bit register: 0 the lower, 1 the upper; others are zero.
constexpr uint32_t half_of(uint64_t value, uint32_t half) {
    return half > 1 ? 0 : static_cast<uint32_t>(value >> (32 * half));
}

// The transport's side. Nothing in here calls back into the core.
class TransportFace {
  public:
    virtual ~TransportFace() = default;
    // The registers are now these. Under their lock: short.
    virtual void show(const TransportRegisters& registers) = 0;
    // The device's configuration space is now this. On the loop's thread.
    virtual void show_config(ByteView config, uint32_t generation) = 0;
    // A reset is being completed: no interrupt is outstanding, no vector assigned. show() follows.
    virtual void clear_interrupts() = 0;
    virtual void raise_queues(QueueMask queues) = 0;  // on the loop's thread
    virtual bool share_interrupt(uint16_t one, uint16_t other) const = 0;
    // On the loop's thread, or on a vCPU's under the registers' lock.
    virtual void raise_config() = 0;
};

class TransportCore : private DriverLink {
  public:
    // What a queue's size is before the driver writes one.
    enum class FirstQueueSize { Zero, Largest };
    struct Wiring {
        EventLoop* loop = nullptr;
        std::shared_ptr<memory::GuestMemory> memory;
        FirstQueueSize first_queue_size = FirstQueueSize::Zero;
    };

    // Everything is borrowed and outlives the core. Create and destroy it on the loop's thread, and destroy
    // it only when no vCPU can reach it any more. The face is shown the registers at once.
    static Result<std::unique_ptr<TransportCore>> create(const Wiring& wiring, VirtioDevice& device,
                                                         TransportFace& face);
    ~TransportCore() override { stop(); }
    TransportCore(const TransportCore&) = delete;
    TransportCore& operator=(const TransportCore&) = delete;

    // ---- from any thread

    VirtioDevice& device() const { return device_; }
    uint16_t queue_count() const { return static_cast<uint16_t>(queue_sizes_.size()); }

    enum class Register {
        DeviceFeaturesSel,
        DriverFeaturesSel,
        DriverFeatures,  // the selected half
        QueueSel,
        Status,
        // of the selected queue
        QueueReady,
        QueueSize,
        QueueDescLow,
        QueueDescHigh,
        QueueDriverLow,
        QueueDriverHigh,
        QueueDeviceLow,
        QueueDeviceHigh,
    };
    // Returns when the write has taken effect, a reset included.
    void write(Register reg, uint32_t value);
    // Inside the configuration space or not; reaches an active device only.
    void write_config(uint64_t offset, ByteView data);
    void notify(uint32_t queue);  // a queue that does not exist is ignored
    // Signalled instead of notify() by a doorbell.
    const EventFd& notify_event(uint16_t queue) const { return notify_events_[queue]; }

    // ---- on the loop's thread

    void reset();  // machine reset
    // Ends the device for good and releases every waiting vCPU; may be repeated.
    void stop();

    struct Counters {
        uint64_t notifications = 0;  // queue notifications handled
        uint64_t interrupts = 0;
        uint64_t activations = 0;
        uint64_t resets = 0;
        uint64_t violations = 0;  // broken rings and queue configurations
    };
    Counters counters() const { return counters_; }

  private:
    using Registers = TransportRegisters;
    // Locked by vCPU threads and, for needs_reset(), by the loop.
    struct Front {
        Registers registers;
        uint32_t resets_under_way = 0;  // other writes are ignored meanwhile
        uint64_t generation = 0;        // counts resets: an activation from before one is void
    };
    enum class Action { None, Reset, StopQueues, ReportQueue };

    TransportCore(const Wiring& wiring, VirtioDevice& device, TransportFace& face);
    Result<void> watch_notifications();

    // Under the lock.
    Action write_register(Front& front, Register reg, uint32_t value);
    Action write_status(Front& front, uint32_t value);
    Action write_queue_ready(Front& front, Registers::QueueRegisters& queue, uint32_t value);
    void post_activation(const Front& front);
    void set_needs_reset(Front& front);
    Registers initial_registers() const;

    void reset_from_vcpu();
    void run_on_loop(std::function<void()> task);

    // On the loop's thread.
    void activate(uint64_t generation, const std::vector<QueueLayout>& layouts, uint64_t features);
    void quiesce();
    void on_notification(uint16_t index);
    void process(uint16_t index);
    void interrupt(QueueMask queues) override;
    bool share_interrupt(uint16_t one, uint16_t other) const override {
        return face_.share_interrupt(one, other);
    }
    void config_changed() override;
    void needs_reset(const Error& reason) override;
    void violation(const std::string& text);

    EventLoop& loop_;
    std::shared_ptr<memory::GuestMemory> memory_;
    VirtioDevice& device_;
    TransportFace& face_;
    const uint64_t offered_features_;
    const std::vector<uint16_t> queue_sizes_;
    const size_t config_size_;
    const FirstQueueSize first_queue_size_;

    Guarded<Front> front_;
    std::vector<EventFd> notify_events_;  // one a queue; signalled by the hypervisor or by notify()

    // Loop thread only.
    std::vector<EventLoop::WatchId> watches_;
    bool active_ = false;  // between activate() and reset() of the device
    bool broken_ = false;  // the driver has to reset
    uint32_t config_generation_ = 0;
    Counters counters_;
    log::RateLimit violation_log_{5, std::chrono::seconds(10)};
    // Tasks posted to the loop hold this weakly, so that none runs behind our back.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

    // Written by the loop in stop(), read by waiting vCPUs; the mutex also covers their completion flags.
    std::mutex wait_mutex_;
    std::condition_variable wait_changed_;
    bool stopped_ = false;
};

}  // namespace alcove::virtio
