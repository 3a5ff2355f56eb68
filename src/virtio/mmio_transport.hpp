// SPDX-License-Identifier: Apache-2.0
//
// virtio-mmio, version 2 (VIRTIO 1.2, 4.2): registers on one side, a VirtioDevice on the other.
//
// Two kinds of threads meet here. A vCPU writes registers on its own thread; the registers are under a lock
// that is held only for that. The device lives on the event loop's thread. What crosses over:
//
//     vCPU thread                            event loop thread
//     Status = DRIVER_OK       ──post──►     check queues, device.activate(), process every queue once
//     QueueNotify              ─eventfd─►    device.process_queue()
//     Status = 0               ──post──►     device.reset()
//       ... waits ...          ◄──done──
//     registers back at their start, write returns
//     InterruptStatus, Status  ◄─atomics─    DriverLink::interrupt(), needs_reset()
//
// A reset has to be complete when the write returns: Linux's driver frees its rings right afterwards,
// without reading Status back. So the vCPU waits for the loop; the loop in turn never waits for a vCPU while
// transports are in use. Before a machine joins its vCPU threads it calls stop(), which lets waiting vCPUs
// go and ends the device.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bus/bus_device.hpp"
#include "bus/doorbell.hpp"
#include "bus/interrupt_line.hpp"
#include "bus/state_unit.hpp"
#include "support/event_loop.hpp"
#include "support/guarded.hpp"
#include "support/log.hpp"
#include "virtio/device.hpp"
#include "virtio/register_page.hpp"

namespace alcove::virtio {

class MmioTransport : public bus::BusDevice, public bus::StateUnit, private DriverLink {
  public:
    struct Wiring {
        EventLoop* loop = nullptr;
        std::thread::id loop_thread;  // the one that runs the loop; register writes on it do not wait
        std::shared_ptr<memory::GuestMemory> memory;
        memory::GuestAddress base;  // of the window of mmio::kWindowSize bytes
        bus::InterruptLine* line = nullptr;
        bus::DoorbellHost* doorbells = nullptr;  // may be absent: every notification is then an exit
    };

    // Everything is borrowed and outlives the transport. Create and destroy it on the loop's thread, and
    // destroy it only when no vCPU can reach it any more.
    static Result<std::unique_ptr<MmioTransport>> create(const Wiring& wiring, VirtioDevice& device);
    ~MmioTransport() override;
    MmioTransport(const MmioTransport&) = delete;
    MmioTransport& operator=(const MmioTransport&) = delete;

    void read(uint64_t offset, MutableByteView data) override;
    void write(uint64_t offset, ByteView data) override;

    std::string_view name() const override { return device_.name(); }
    void reset() override;  // machine reset; on the loop's thread

    // Ends the device for good and releases every waiting vCPU. On the loop's thread; may be repeated.
    void stop();

    // A page that can be mapped read-only at `base`: see register_page.hpp.
    uint64_t register_page_host_address() const { return page_.host_address(); }

    struct Counters {
        uint64_t notifications = 0;  // queue notifications handled
        uint64_t interrupts = 0;
        uint64_t activations = 0;
        uint64_t resets = 0;
        uint64_t violations = 0;  // broken rings and queue configurations
    };
    Counters counters() const { return counters_; }  // on the loop's thread

  private:
    struct QueueRegisters {
        uint32_t size = 0;
        uint64_t descriptor_table = 0;
        uint64_t available_ring = 0;
        uint64_t used_ring = 0;
        bool ready = false;
    };
    struct Registers {
        uint32_t device_features_sel = 0;
        uint32_t driver_features_sel = 0;
        uint32_t queue_sel = 0;
        uint32_t status = 0;
        uint64_t driver_features = 0;
        std::vector<QueueRegisters> queues;
    };
    // Locked by vCPU threads and, for needs_reset(), by the loop.
    struct Front {
        Registers registers;
        uint32_t resets_under_way = 0;  // other writes are ignored meanwhile
        uint64_t generation = 0;        // counts resets: an activation from before one is void
    };
    enum class Action { None, Reset, StopQueues, ReportQueue };

    MmioTransport(const Wiring& wiring, VirtioDevice& device, RegisterPage page);
    Result<void> attach();

    // Under the lock.
    Action write_register(Front& front, mmio::Register reg, uint32_t value);
    Action write_status(Front& front, uint32_t value);
    Action write_queue_ready(Front& front, QueueRegisters& queue, uint32_t value);
    void post_activation(const Front& front);
    void set_needs_reset(Front& front);
    void show(const Registers& registers);
    Registers initial_registers() const;
    QueueLayout layout_of(const QueueRegisters& queue) const;

    void reset_from_vcpu();
    void run_on_loop(std::function<void()> task);

    // On the loop's thread.
    void activate(uint64_t generation, const std::vector<QueueLayout>& layouts, uint64_t features);
    void quiesce();
    void on_notification(uint16_t index);
    void process(uint16_t index);
    void raise(uint32_t bits);
    void interrupt() override;
    void config_changed() override;
    void needs_reset(const Error& reason) override;
    void violation(const std::string& text);

    EventLoop& loop_;
    const std::thread::id loop_thread_;
    std::shared_ptr<memory::GuestMemory> memory_;
    const memory::GuestAddress base_;
    bus::InterruptLine& line_;
    bus::DoorbellHost* doorbells_;
    VirtioDevice& device_;
    const uint64_t offered_features_;
    const std::vector<uint16_t> queue_sizes_;
    const size_t config_size_;

    RegisterPage page_;
    Guarded<Front> front_;
    std::vector<EventFd> notify_events_;  // one a queue; signalled by KVM or by write()
    std::vector<EventFd> acknowledge_sink_;
    struct Attached {
        memory::GuestAddress address;
        uint32_t value;
        const EventFd* event;
    };
    std::vector<Attached> attached_;

    // Loop thread only.
    std::vector<EventLoop::WatchId> watches_;
    bool active_ = false;  // between activate() and reset() of the device
    bool broken_ = false;  // the driver has to reset
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
