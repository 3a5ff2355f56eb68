// SPDX-License-Identifier: Apache-2.0
#include "virtio/mmio_transport.hpp"

#include <utility>

namespace alcove::virtio {

namespace {

constexpr uint32_t kVendor = 0x56434c41;  // "ALCV": VIRTIO leaves the value to us

std::optional<TransportCore::Register> core_register(mmio::Register reg) {
    using Core = TransportCore::Register;
    switch (reg) {
        case mmio::DeviceFeaturesSel:
            return Core::DeviceFeaturesSel;
        case mmio::DriverFeatures:
            return Core::DriverFeatures;
        case mmio::DriverFeaturesSel:
            return Core::DriverFeaturesSel;
        case mmio::QueueSel:
            return Core::QueueSel;
        case mmio::QueueNum:
            return Core::QueueSize;
        case mmio::QueueReady:
            return Core::QueueReady;
        case mmio::Status:
            return Core::Status;
        case mmio::QueueDescLow:
            return Core::QueueDescLow;
        case mmio::QueueDescHigh:
            return Core::QueueDescHigh;
        case mmio::QueueDriverLow:
            return Core::QueueDriverLow;
        case mmio::QueueDriverHigh:
            return Core::QueueDriverHigh;
        case mmio::QueueDeviceLow:
            return Core::QueueDeviceLow;
        case mmio::QueueDeviceHigh:
            return Core::QueueDeviceHigh;
        default:
            return std::nullopt;  // read-only or unknown
    }
}

}  // namespace

MmioTransport::MmioTransport(const Wiring& wiring, RegisterPage page)
    : base_(wiring.base), line_(*wiring.line), doorbells_(wiring.doorbells), page_(std::move(page)) {
    page_.set(mmio::MagicValue, mmio::kMagic);
    page_.set(mmio::Version, mmio::kVersion);
    page_.set(mmio::VendorID, kVendor);
    // No shared memory region: length and address read as ones (VIRTIO 1.2, 4.2.2).
    for (const auto reg : {mmio::SHMLenLow, mmio::SHMLenHigh, mmio::SHMBaseLow, mmio::SHMBaseHigh})
        page_.set(reg, 0xffffffff);
}

Result<std::unique_ptr<MmioTransport>> MmioTransport::create(const Wiring& wiring, VirtioDevice& device) {
    ALCOVE_CHECK(wiring.line != nullptr, "a transport is wired to an interrupt line");
    auto page = TRY(RegisterPage::create());
    page.set(mmio::DeviceID, device.device_id());
    std::unique_ptr<MmioTransport> transport(new MmioTransport(wiring, std::move(page)));
    transport->core_ =
        TRY(TransportCore::create({.loop = wiring.loop, .memory = wiring.memory}, device, *transport)
                .context("wiring " + std::string(device.name())));
    TRY(transport->attach_doorbells().context("wiring " + std::string(device.name())));
    return transport;
}

Result<void> MmioTransport::attach_doorbells() {
    if (doorbells_ == nullptr) return {};
    const auto attach_one = [this](mmio::Register reg, uint32_t value, const EventFd& event) -> Result<void> {
        // The window lies inside the address space.
        const memory::GuestAddress address(base_.value() + reg);
        TRY(doorbells_->attach(address, value, event));
        attached_.push_back({.address = address, .value = value, .event = &event});
        return {};
    };
    for (uint16_t index = 0; index < core_->queue_count(); ++index)
        TRY(attach_one(mmio::QueueNotify, index, core_->notify_event(index)));
    // Every interrupt ends with a write of 1 to InterruptACK. Nothing depends on it with an edge-triggered
    // line, so KVM swallows it and spares the exit; InterruptStatus then goes on showing INT_VRING, which a
    // driver has to bear anyway as a spurious notification.
    auto sink = TRY(EventFd::create());
    acknowledge_sink_ = std::move(sink);
    return attach_one(mmio::InterruptACK, mmio::INT_VRING, *acknowledge_sink_);
}

MmioTransport::~MmioTransport() {
    if (core_ != nullptr) core_->stop();
    for (const auto& [address, value, event] : attached_)
        doorbells_->detach(address, value, *event);
}

void MmioTransport::read(uint64_t offset, MutableByteView data) {
    page_.read(offset, data);
}

void MmioTransport::write(uint64_t offset, ByteView data) {
    if (offset >= mmio::Config) return core_->write_config(offset - mmio::Config, data);
    // VIRTIO 1.2, 4.2.2.2: registers are written whole. Anything else has no meaning and no effect.
    if (data.size() != 4 || offset % 4 != 0) return;
    const uint32_t value = *read_object<Le32>(data);
    const auto reg = static_cast<mmio::Register>(offset);
    if (reg == mmio::QueueNotify) return core_->notify(value);
    if (reg == mmio::InterruptACK) return page_.clear_bits(mmio::InterruptStatus, value);
    if (const auto meant = core_register(reg)) core_->write(*meant, value);
}

// The selected queue and feature half are what the page shows; everything that is only written reads as 0.
void MmioTransport::show(const TransportRegisters& registers) {
    const auto* queue = registers.selected_queue();
    page_.set(mmio::DeviceFeatures, half_of(registers.device_features, registers.device_features_sel));
    page_.set(mmio::QueueNumMax, queue != nullptr ? queue->largest_size : 0);
    page_.set(mmio::QueueReady, queue != nullptr && queue->ready ? 1 : 0);
    page_.set(mmio::Status, registers.status);
}

void MmioTransport::show_config(ByteView config, uint32_t generation) {
    page_.set_config(config);
    page_.set(mmio::ConfigGeneration, generation);
}

void MmioTransport::clear_interrupts() {
    page_.set(mmio::InterruptStatus, 0);
}

void MmioTransport::raise(uint32_t bits) {
    page_.set_bits(mmio::InterruptStatus, bits);
    line_.trigger();
}

void MmioTransport::raise_queues(QueueMask) {
    raise(mmio::INT_VRING);
}

void MmioTransport::raise_config() {
    raise(mmio::INT_CONFIG);
}

}  // namespace alcove::virtio
