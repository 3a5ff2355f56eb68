// SPDX-License-Identifier: Apache-2.0
#include "virtio/mmio_transport.hpp"

#include <utility>

#include <sys/epoll.h>

namespace alcove::virtio {

namespace {

constexpr uint64_t kRingFeatures = feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX;
constexpr uint32_t kVendor = 0x56434c41;  // "ALCV": VIRTIO leaves the value to us

uint32_t half_of(uint64_t value, uint32_t selector) {
    if (selector > 1) return 0;
    return static_cast<uint32_t>(value >> (32 * selector));
}

uint64_t with_half(uint64_t value, unsigned half, uint32_t part) {
    const unsigned shift = 32 * half;
    return (value & ~(uint64_t{0xffffffff} << shift)) | (uint64_t{part} << shift);
}

}  // namespace

MmioTransport::MmioTransport(const Wiring& wiring, VirtioDevice& device, RegisterPage page)
    : loop_(*wiring.loop),
      loop_thread_(wiring.loop_thread),
      memory_(wiring.memory),
      base_(wiring.base),
      line_(*wiring.line),
      doorbells_(wiring.doorbells),
      device_(device),
      offered_features_(device.features() | kRingFeatures),
      queue_sizes_(device.queue_sizes()),
      config_size_(device.config().size()),
      page_(std::move(page)) {
    page_.set(mmio::MagicValue, mmio::kMagic);
    page_.set(mmio::Version, mmio::kVersion);
    page_.set(mmio::DeviceID, device.device_id());
    page_.set(mmio::VendorID, kVendor);
    // No shared memory region: length and address read as ones (VIRTIO 1.2, 4.2.2).
    for (const auto reg : {mmio::SHMLenLow, mmio::SHMLenHigh, mmio::SHMBaseLow, mmio::SHMBaseHigh})
        page_.set(reg, 0xffffffff);
    page_.set_config(device.config());
    front_.with([&](Front& front) {
        front.registers = initial_registers();
        show(front.registers);
    });
}

Result<std::unique_ptr<MmioTransport>> MmioTransport::create(const Wiring& wiring, VirtioDevice& device) {
    ALCOVE_CHECK(wiring.loop != nullptr && wiring.line != nullptr && wiring.memory != nullptr,
                 "a transport is wired to a loop, a line and memory");
    auto page = TRY(RegisterPage::create());
    std::unique_ptr<MmioTransport> transport(new MmioTransport(wiring, device, std::move(page)));
    TRY(transport->attach().context("wiring " + std::string(device.name())));
    return transport;
}

Result<void> MmioTransport::attach() {
    // No reallocation: attached_ and KVM refer to the events.
    notify_events_.reserve(queue_sizes_.size());
    for (uint16_t index = 0; index < queue_sizes_.size(); ++index) {
        auto event = TRY(EventFd::create());
        notify_events_.push_back(std::move(event));
        // Edge-triggered: each signal wakes us, and nobody has to read the counter back.
        const auto watch = TRY(loop_.watch(notify_events_.back().fd(), EPOLLIN | EPOLLET,
                                           [this, index](uint32_t) { on_notification(index); }));
        watches_.push_back(watch);
    }
    if (doorbells_ == nullptr) return {};

    const auto attach_one = [this](mmio::Register reg, uint32_t value, const EventFd& event) -> Result<void> {
        // The window lies inside the address space.
        const memory::GuestAddress address(base_.value() + reg);
        TRY(doorbells_->attach(address, value, event));
        attached_.push_back({.address = address, .value = value, .event = &event});
        return {};
    };
    for (uint16_t index = 0; index < queue_sizes_.size(); ++index)
        TRY(attach_one(mmio::QueueNotify, index, notify_events_[index]));
    // Every interrupt ends with a write of 1 to InterruptACK. Nothing depends on it with an edge-triggered
    // line, so KVM swallows it and spares the exit; InterruptStatus then goes on showing INT_VRING, which a
    // driver has to bear anyway as a spurious notification.
    auto sink = TRY(EventFd::create());
    acknowledge_sink_.push_back(std::move(sink));
    return attach_one(mmio::InterruptACK, mmio::INT_VRING, acknowledge_sink_.back());
}

MmioTransport::~MmioTransport() {
    stop();
    for (const auto& [address, value, event] : attached_)
        doorbells_->detach(address, value, *event);
}

MmioTransport::Registers MmioTransport::initial_registers() const {
    Registers registers;
    registers.queues.resize(queue_sizes_.size());
    return registers;
}

// The selected queue and feature half are what the page shows; everything that is only written reads as 0.
void MmioTransport::show(const Registers& registers) {
    const bool has_queue = registers.queue_sel < registers.queues.size();
    page_.set(mmio::DeviceFeatures, half_of(offered_features_, registers.device_features_sel));
    page_.set(mmio::QueueNumMax, has_queue ? queue_sizes_[registers.queue_sel] : 0);
    page_.set(mmio::QueueReady, has_queue && registers.queues[registers.queue_sel].ready ? 1 : 0);
    page_.set(mmio::Status, registers.status);
}

void MmioTransport::read(uint64_t offset, MutableByteView data) {
    page_.read(offset, data);
}

void MmioTransport::write(uint64_t offset, ByteView data) {
    if (offset >= mmio::Config) {
        // Synchronous, so that a guest cannot pile up writes.
        if (offset - mmio::Config < config_size_)
            run_on_loop([&] {
                if (active_ && !broken_) device_.write_config(offset - mmio::Config, data);
            });
        return;
    }
    // VIRTIO 1.2, 4.2.2.2: registers are written whole. Anything else has no meaning and no effect.
    if (data.size() != 4 || offset % 4 != 0) return;
    const uint32_t value = *read_object<Le32>(data);
    const auto reg = static_cast<mmio::Register>(offset);
    if (reg == mmio::QueueNotify) {
        if (value < notify_events_.size()) notify_events_[value].signal();
        return;
    }
    if (reg == mmio::InterruptACK) {
        page_.clear_bits(mmio::InterruptStatus, value);
        return;
    }
    const Action action = front_.with([&](Front& front) {
        const Action next = write_register(front, reg, value);
        show(front.registers);
        return next;
    });
    if (action == Action::Reset) reset_from_vcpu();
    if (action == Action::StopQueues) run_on_loop([this] { quiesce(); });
    if (action == Action::ReportQueue)
        run_on_loop([this] { violation("a queue's configuration is invalid"); });
}

MmioTransport::Action MmioTransport::write_register(Front& front, mmio::Register reg, uint32_t value) {
    auto& registers = front.registers;
    if (reg == mmio::Status && value == 0) {
        ++front.resets_under_way;
        ++front.generation;
        return Action::Reset;
    }
    if (front.resets_under_way > 0) return Action::None;
    switch (reg) {
        case mmio::DeviceFeaturesSel:
            registers.device_features_sel = value;
            return Action::None;
        case mmio::DriverFeaturesSel:
            registers.driver_features_sel = value;
            return Action::None;
        case mmio::DriverFeatures:
            if ((registers.status & status::FEATURES_OK) == 0 && registers.driver_features_sel <= 1)
                registers.driver_features =
                    with_half(registers.driver_features, registers.driver_features_sel, value);
            return Action::None;
        case mmio::QueueSel:
            registers.queue_sel = value;
            return Action::None;
        case mmio::Status:
            return write_status(front, value);
        default:
            break;
    }

    if (registers.queue_sel >= registers.queues.size()) return Action::None;
    auto& queue = registers.queues[registers.queue_sel];
    if (reg == mmio::QueueReady) return write_queue_ready(front, queue, value);
    // A queue's configuration is fixed while it is enabled, and every queue's from DRIVER_OK on.
    if (queue.ready || (registers.status & status::DRIVER_OK) != 0) return Action::None;
    switch (reg) {
        case mmio::QueueNum:
            queue.size = value;
            break;
        case mmio::QueueDescLow:
        case mmio::QueueDescHigh:
            queue.descriptor_table =
                with_half(queue.descriptor_table, reg == mmio::QueueDescHigh ? 1 : 0, value);
            break;
        case mmio::QueueDriverLow:
        case mmio::QueueDriverHigh:
            queue.available_ring =
                with_half(queue.available_ring, reg == mmio::QueueDriverHigh ? 1 : 0, value);
            break;
        case mmio::QueueDeviceLow:
        case mmio::QueueDeviceHigh:
            queue.used_ring = with_half(queue.used_ring, reg == mmio::QueueDeviceHigh ? 1 : 0, value);
            break;
        default:
            break;  // read-only or unknown
    }
    return Action::None;
}

QueueLayout MmioTransport::layout_of(const QueueRegisters& queue) const {
    return {.size = static_cast<uint16_t>(queue.size),
            .descriptor_table = memory::GuestAddress(queue.descriptor_table),
            .available_ring = memory::GuestAddress(queue.available_ring),
            .used_ring = memory::GuestAddress(queue.used_ring)};
}

MmioTransport::Action MmioTransport::write_queue_ready(Front& front, QueueRegisters& queue, uint32_t value) {
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

MmioTransport::Action MmioTransport::write_status(Front& front, uint32_t value) {
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

void MmioTransport::post_activation(const Front& front) {
    std::vector<QueueLayout> layouts;
    for (const auto& queue : front.registers.queues)
        layouts.push_back(queue.ready ? layout_of(queue) : QueueLayout{});
    loop_.post([this, alive = std::weak_ptr(alive_), generation = front.generation,
                layouts = std::move(layouts), features = front.registers.driver_features] {
        if (!alive.expired()) activate(generation, layouts, features);
    });
}

void MmioTransport::set_needs_reset(Front& front) {
    front.registers.status |= status::DEVICE_NEEDS_RESET;
    show(front.registers);
    // VIRTIO 1.2, 2.1.2: the driver is told once it has set DRIVER_OK.
    if ((front.registers.status & status::DRIVER_OK) != 0) {
        page_.set_bits(mmio::InterruptStatus, mmio::INT_CONFIG);
        line_.trigger();
    }
}

void MmioTransport::reset_from_vcpu() {
    run_on_loop([this] { quiesce(); });
    page_.set(mmio::InterruptStatus, 0);
    front_.with([&](Front& front) {
        --front.resets_under_way;
        front.registers = initial_registers();
        show(front.registers);
    });
}

// Returns when the task has run, or when the transport stops.
void MmioTransport::run_on_loop(std::function<void()> task) {
    if (std::this_thread::get_id() == loop_thread_) {
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

void MmioTransport::activate(uint64_t generation, const std::vector<QueueLayout>& layouts,
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

void MmioTransport::quiesce() {
    ++counters_.resets;
    broken_ = false;
    if (!std::exchange(active_, false)) return;
    device_.reset();
}

void MmioTransport::reset() {
    quiesce();
    page_.set(mmio::InterruptStatus, 0);
    front_.with([&](Front& front) {
        ++front.generation;
        front.registers = initial_registers();
        show(front.registers);
    });
}

void MmioTransport::stop() {
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

void MmioTransport::on_notification(uint16_t index) {
    ++counters_.notifications;
    process(index);
}

void MmioTransport::process(uint16_t index) {
    if (!active_ || broken_) return;
    const auto result = device_.process_queue(index);
    if (!result) needs_reset(result.error());
}

void MmioTransport::raise(uint32_t bits) {
    page_.set_bits(mmio::InterruptStatus, bits);
    ++counters_.interrupts;
    line_.trigger();
}

void MmioTransport::interrupt() {
    raise(mmio::INT_VRING);
}

void MmioTransport::config_changed() {
    front_.with([&](Front&) {
        page_.set_config(device_.config());
        page_.set(mmio::ConfigGeneration, page_.get(mmio::ConfigGeneration) + 1);
    });
    raise(mmio::INT_CONFIG);
}

void MmioTransport::needs_reset(const Error& reason) {
    if (std::exchange(broken_, true)) return;
    front_.with([&](Front& front) { set_needs_reset(front); });
    violation(reason.to_string());
}

void MmioTransport::violation(const std::string& text) {
    ++counters_.violations;
    uint64_t suppressed = 0;
    if (violation_log_.allow(suppressed))
        log::warn("{}: the guest broke the rules: {} ({} similar messages left out)", device_.name(), text,
                  suppressed);
}

}  // namespace alcove::virtio
