// SPDX-License-Identifier: Apache-2.0
#include "virtio/transport_core.hpp"

#include <utility>

#include <sys/epoll.h>

namespace alcove::virtio {

namespace {

constexpr uint64_t kRingFeatures = feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX;

uint64_t with_half(uint64_t value, unsigned half, uint32_t part) {
    const unsigned shift = 32 * half;
    return (value & ~(uint64_t{0xffffffff} << shift)) | (uint64_t{part} << shift);
}

QueueLayout layout_of(const TransportRegisters::QueueRegisters& queue) {
    return {.size = static_cast<uint16_t>(queue.size),
            .descriptor_table = memory::GuestAddress(queue.descriptor_table),
            .available_ring = memory::GuestAddress(queue.available_ring),
            .used_ring = memory::GuestAddress(queue.used_ring)};
}

}  // namespace

TransportCore::TransportCore(const Wiring& wiring, VirtioDevice& device, TransportFace& face)
    : loop_(*wiring.loop),
      memory_(wiring.memory),
      device_(device),
      face_(face),
      offered_features_(device.features() | kRingFeatures),
      queue_sizes_(device.queue_sizes()),
      config_size_(device.config().size()),
      first_queue_size_(wiring.first_queue_size) {
    ALCOVE_CHECK(queue_sizes_.size() <= kMaxQueues, "a queue has a bit in a QueueMask");
    face_.show_config(device.config(), config_generation_);
    front_.with([&](Front& front) {
        front.registers = initial_registers();
        face_.show(front.registers);
    });
}

Result<std::unique_ptr<TransportCore>> TransportCore::create(const Wiring& wiring, VirtioDevice& device,
                                                             TransportFace& face) {
    ALCOVE_CHECK(wiring.loop != nullptr && wiring.memory != nullptr,
                 "a transport is wired to a loop and memory");
    std::unique_ptr<TransportCore> core(new TransportCore(wiring, device, face));
    TRY(core->watch_notifications());
    return core;
}

Result<void> TransportCore::watch_notifications() {
    // No reallocation: doorbells refer to the events.
    notify_events_.reserve(queue_sizes_.size());
    for (uint16_t index = 0; index < queue_sizes_.size(); ++index) {
        auto event = TRY(EventFd::create());
        notify_events_.push_back(std::move(event));
        // Edge-triggered: each signal wakes us, and nobody has to read the counter back.
        const auto watch = TRY(loop_.watch(notify_events_.back().fd(), EPOLLIN | EPOLLET,
                                           [this, index](uint32_t) { on_notification(index); }));
        watches_.push_back(watch);
    }
    return {};
}

TransportRegisters TransportCore::initial_registers() const {
    Registers registers{.device_features = offered_features_, .queues = {}};
    for (const uint16_t size : queue_sizes_) {
        const bool starts_large = first_queue_size_ == FirstQueueSize::Largest;
        registers.queues.push_back({.largest_size = size, .size = starts_large ? size : 0U});
    }
    return registers;
}

void TransportCore::write_config(uint64_t offset, ByteView data) {
    // Synchronous, so that a guest cannot pile up writes.
    if (offset < config_size_)
        run_on_loop([&] {
            if (active_ && !broken_) device_.write_config(offset, data);
        });
}

void TransportCore::notify(uint32_t queue) {
    if (queue < notify_events_.size()) notify_events_[queue].signal();
}

void TransportCore::write(Register reg, uint32_t value) {
    const Action action = front_.with([&](Front& front) {
        const Action next = write_register(front, reg, value);
        face_.show(front.registers);
        return next;
    });
    if (action == Action::Reset) reset_from_vcpu();
    if (action == Action::StopQueues) run_on_loop([this] { quiesce(); });
    if (action == Action::ReportQueue)
        run_on_loop([this] { violation("a queue's configuration is invalid"); });
}

TransportCore::Action TransportCore::write_register(Front& front, Register reg, uint32_t value) {
    auto& registers = front.registers;
    if (reg == Register::Status && value == 0) {
        ++front.resets_under_way;
        ++front.generation;
        return Action::Reset;
    }
    if (front.resets_under_way > 0) return Action::None;
    switch (reg) {
        case Register::DeviceFeaturesSel:
            registers.device_features_sel = value;
            return Action::None;
        case Register::DriverFeaturesSel:
            registers.driver_features_sel = value;
            return Action::None;
        case Register::DriverFeatures:
            if ((registers.status & status::FEATURES_OK) == 0 && registers.driver_features_sel <= 1)
                registers.driver_features =
                    with_half(registers.driver_features, registers.driver_features_sel, value);
            return Action::None;
        case Register::QueueSel:
            registers.queue_sel = value;
            return Action::None;
        case Register::Status:
            return write_status(front, value);
        default:
            break;
    }

    if (registers.queue_sel >= registers.queues.size()) return Action::None;
    auto& queue = registers.queues[registers.queue_sel];
    if (reg == Register::QueueReady) return write_queue_ready(front, queue, value);
    // A queue's configuration is fixed while it is enabled, and every queue's from DRIVER_OK on.
    if (queue.ready || (registers.status & status::DRIVER_OK) != 0) return Action::None;
    switch (reg) {
        case Register::QueueSize:
            queue.size = value;
            break;
        case Register::QueueDescLow:
        case Register::QueueDescHigh:
            queue.descriptor_table =
                with_half(queue.descriptor_table, reg == Register::QueueDescHigh ? 1 : 0, value);
            break;
        case Register::QueueDriverLow:
        case Register::QueueDriverHigh:
            queue.available_ring =
                with_half(queue.available_ring, reg == Register::QueueDriverHigh ? 1 : 0, value);
            break;
        case Register::QueueDeviceLow:
        case Register::QueueDeviceHigh:
            queue.used_ring = with_half(queue.used_ring, reg == Register::QueueDeviceHigh ? 1 : 0, value);
            break;
        default:
            break;  // handled above
    }
    return Action::None;
}

TransportCore::Action TransportCore::write_queue_ready(Front& front, Registers::QueueRegisters& queue,
                                                       uint32_t value) {
    auto& registers = front.registers;
    if (value > 1) return Action::None;
    if (value == 0) {
        // The device may not touch a queue that is not ready (VIRTIO 1.2, 4.2.2.1). Single queues do not
        // stop here (RING_RESET is not offered): the device as a whole does, until it is reset.
        const bool stop = queue.ready && (registers.status & status::DRIVER_OK) != 0;
        queue.ready = false;
        if (!stop) return Action::None;
        set_needs_reset(front);
        return Action::StopQueues;
    }
    if (queue.ready || (registers.status & status::DRIVER_OK) != 0) return Action::None;
    const bool is_valid = (registers.status & status::FEATURES_OK) != 0 &&
                          queue.size <= queue_sizes_[registers.queue_sel] &&
                          Queue::create(memory_, layout_of(queue), registers.driver_features).has_value();
    if (!is_valid) {
        set_needs_reset(front);
        return Action::ReportQueue;
    }
    queue.ready = true;
    return Action::None;
}

TransportCore::Action TransportCore::write_status(Front& front, uint32_t value) {
    auto& registers = front.registers;
    // Only a reset clears bits, and DEVICE_NEEDS_RESET is ours to set.
    uint32_t added = value & ~registers.status & ~status::DEVICE_NEEDS_RESET;
    const uint64_t features = registers.driver_features;
    const bool are_features_acceptable =
        (features & ~offered_features_) == 0 && (features & feature::VERSION_1) != 0;
    if (!are_features_acceptable) added &= ~status::FEATURES_OK;
    const bool is_negotiated = ((registers.status | added) & status::FEATURES_OK) != 0;
    if (!is_negotiated || (registers.status & status::DEVICE_NEEDS_RESET) != 0) added &= ~status::DRIVER_OK;
    registers.status |= added;
    if ((added & status::DRIVER_OK) != 0) post_activation(front);
    return Action::None;
}

void TransportCore::post_activation(const Front& front) {
    std::vector<QueueLayout> layouts;
    for (const auto& queue : front.registers.queues)
        layouts.push_back(queue.ready ? layout_of(queue) : QueueLayout{});
    loop_.post([this, alive = std::weak_ptr(alive_), generation = front.generation,
                layouts = std::move(layouts), features = front.registers.driver_features] {
        if (!alive.expired()) activate(generation, layouts, features);
    });
}

void TransportCore::set_needs_reset(Front& front) {
    front.registers.status |= status::DEVICE_NEEDS_RESET;
    face_.show(front.registers);
    // VIRTIO 1.2, 2.1.2: the driver is told once it has set DRIVER_OK.
    if ((front.registers.status & status::DRIVER_OK) != 0) face_.raise_config();
}

void TransportCore::reset_from_vcpu() {
    run_on_loop([this] { quiesce(); });
    face_.clear_interrupts();
    front_.with([&](Front& front) {
        --front.resets_under_way;
        front.registers = initial_registers();
        face_.show(front.registers);
    });
}

// Returns when the task has run, or when the transport stops.
void TransportCore::run_on_loop(std::function<void()> task) {
    if (loop_.is_loop_thread()) {
        task();
        return;
    }
    struct Completion {
        bool done = false;  // under wait_mutex_
    };
    const auto completion = std::make_shared<Completion>();
    // `task` refers to this call's frame. stop() runs on the loop's thread, so a task that finds it has not
    // happened still has somebody waiting for it.
    loop_.post([this, alive = std::weak_ptr(alive_), completion, &task] {
        if (alive.expired() || stopped_) return;
        task();
        {
            const std::lock_guard lock(wait_mutex_);
            completion->done = true;
        }
        wait_changed_.notify_all();
    });
    std::unique_lock lock(wait_mutex_);
    wait_changed_.wait(lock, [&] { return completion->done || stopped_; });
}

void TransportCore::activate(uint64_t generation, const std::vector<QueueLayout>& layouts,
                             uint64_t features) {
    if (stopped_ || generation != front_.with([](Front& front) { return front.generation; })) return;
    Activation activation{.queues = {}, .features = features, .link = this};
    for (const auto& layout : layouts) {
        if (layout.size == 0) {
            activation.queues.push_back(Queue::disabled());
            continue;
        }
        auto queue = Queue::create(memory_, layout, features);
        if (!queue) {
            needs_reset(queue.error());
            return;
        }
        activation.queues.push_back(std::move(queue).value());
    }
    active_ = true;
    ++counters_.activations;
    device_.activate(std::move(activation));
    // A driver may have made chains available, and rung for them, before it set DRIVER_OK.
    for (uint16_t index = 0; index < queue_sizes_.size(); ++index)
        process(index);
}

void TransportCore::quiesce() {
    ++counters_.resets;
    broken_ = false;
    if (!std::exchange(active_, false)) return;
    device_.reset();
}

void TransportCore::reset() {
    quiesce();
    face_.clear_interrupts();
    front_.with([&](Front& front) {
        ++front.generation;
        front.registers = initial_registers();
        face_.show(front.registers);
    });
}

void TransportCore::stop() {
    if (stopped_) return;
    quiesce();
    for (const auto watch : watches_)
        loop_.unwatch(watch);
    watches_.clear();
    {
        const std::lock_guard lock(wait_mutex_);
        stopped_ = true;
    }
    wait_changed_.notify_all();
}

void TransportCore::on_notification(uint16_t index) {
    ++counters_.notifications;
    process(index);
}

void TransportCore::process(uint16_t index) {
    if (!active_ || broken_) return;
    const auto result = device_.process_queue(index);
    if (!result) needs_reset(result.error());
}

void TransportCore::interrupt(QueueMask queues) {
    ++counters_.interrupts;
    face_.raise_queues(queues);
}

void TransportCore::config_changed() {
    face_.show_config(device_.config(), ++config_generation_);
    ++counters_.interrupts;
    face_.raise_config();
}

void TransportCore::needs_reset(const Error& reason) {
    if (std::exchange(broken_, true)) return;
    front_.with([&](Front& front) { set_needs_reset(front); });
    violation(reason.to_string());
}

void TransportCore::violation(const std::string& text) {
    ++counters_.violations;
    uint64_t suppressed = 0;
    if (violation_log_.allow(suppressed))
        log::warn("{}: the guest broke the rules: {} ({} similar messages left out)", device_.name(), text,
                  suppressed);
}

}  // namespace alcove::virtio
