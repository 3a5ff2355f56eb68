// SPDX-License-Identifier: Apache-2.0
#include "virtio/pci_transport.hpp"

#include <algorithm>
#include <bitset>

#include "support/checked.hpp"

namespace alcove::virtio {

namespace {

using virtio_pci::CommonConfig;

// PCI Code and ID Assignment 1.11. Only names in lspci hang on it.
uint32_t class_code_of(uint32_t device) {
    switch (device) {
        case device_id::kNetwork:
            return 0x020000;  // Ethernet controller
        case device_id::kBlock:
            return 0x018000;  // other mass storage
        case device_id::kSocket:
            return 0x028000;  // other network controller
        default:
            return 0xff0000;  // none of the defined classes
    }
}

pci::Identity identity_of(const VirtioDevice& device) {
    const auto id = static_cast<uint16_t>(virtio_pci::kFirstDeviceId + device.device_id());
    return {.vendor_id = virtio_pci::kVendorId,
            .device_id = id,
            .class_code = class_code_of(device.device_id()),
            .revision_id = virtio_pci::kRevision,
            .subsystem_vendor_id = virtio_pci::kVendorId,
            .subsystem_id = id};  // 0x40 or more keeps drivers of the legacy interface away (4.1.2.1)
}

uint64_t number_in(ByteView data) {
    uint64_t value = 0;
    for (size_t i = 0; i < data.size(); ++i)
        value |= uint64_t{data[i]} << (8 * i);
    return value;
}

// As much of `source` as stands at `offset`; what is behind its end stays as it is.
void copy_part(ByteView source, uint64_t offset, MutableByteView into) {
    for (size_t i = 0; i < into.size() && offset + i < source.size(); ++i)
        into[i] = source[offset + i];
}

}  // namespace

PciTransport::PciTransport(VirtioDevice& device, std::unique_ptr<pci::MsixTable> msix)
    : Function(identity_of(device)), device_(device) {
    add_bar(kRegisterBar, pci::BarKind::Memory32, kRegisterBarSize);
    add_msix(std::move(msix), kMsixBar);
}

Result<std::unique_ptr<PciTransport>> PciTransport::create(const Wiring& wiring, VirtioDevice& device) {
    const auto queues = static_cast<uint16_t>(device.queue_sizes().size());
    const auto config_size = static_cast<uint32_t>(device.config().size());
    ALCOVE_CHECK(config_size <= kNotifyOffset - kDeviceOffset,
                 "the device's configuration fits into its page");
    const uint16_t vectors = device.wants_one_interrupt() ? 2 : static_cast<uint16_t>(queues + 1);
    auto msix = TRY(pci::MsixTable::create(*wiring.interrupts, vectors));
    std::unique_ptr<PciTransport> transport(new PciTransport(device, std::move(msix)));
    transport->add_capabilities(queues, config_size);
    transport->shown_.with([&](Shown& shown) { shown.queue_vectors.resize(queues); });
    transport->clear_interrupts();
    transport->core_ = TRY(TransportCore::create({.loop = wiring.loop,
                                                  .memory = wiring.memory,
                                                  .first_queue_size = TransportCore::FirstQueueSize::Largest},
                                                 device, *transport)
                               .context("wiring " + std::string(device.name())));
    for (uint16_t index = 0; index < queues; ++index)
        transport->add_doorbell(kRegisterBar, kNotifyOffset + uint64_t{kNotifyMultiplier} * index,
                                transport->core_->notify_event(index));
    return transport;
}

void PciTransport::add_capabilities(uint32_t queues, uint32_t config_size) {
    using virtio_pci::Capability;
    const auto structure = [](uint8_t type, uint64_t offset, uint64_t length) {
        return Capability{.cap_len = virtio_pci::kCapabilitySize,
                          .cfg_type = type,
                          .bar = kRegisterBar,
                          .offset = static_cast<uint32_t>(offset),
                          .length = static_cast<uint32_t>(length)};
    };
    const auto add = [this](const auto& body) {
        return add_capability(pci::capability_id::VendorSpecific, object_bytes(body));
    };
    add(structure(virtio_pci::COMMON_CFG, kCommonOffset, sizeof(CommonConfig)));
    virtio_pci::NotifyCapability notify{
        .cap = structure(virtio_pci::NOTIFY_CFG, kNotifyOffset, uint64_t{kNotifyMultiplier} * queues),
        .notify_off_multiplier = kNotifyMultiplier};
    notify.cap.cap_len = sizeof notify + 2;
    add(notify);
    add(structure(virtio_pci::ISR_CFG, kIsrOffset, 1));
    if (config_size > 0) add(structure(virtio_pci::DEVICE_CFG, kDeviceOffset, config_size));

    virtio_pci::PciCfgCapability window{.cap = structure(virtio_pci::PCI_CFG, 0, 0)};
    window.cap.cap_len = sizeof window + 2;
    virtio_pci::PciCfgCapability writable{.cap = {.bar = 0xff, .offset = 0xffffffff, .length = 0xffffffff},
                                          .pci_cfg_data = {0xff, 0xff, 0xff, 0xff}};
    window_capability_ =
        add_capability(pci::capability_id::VendorSpecific, object_bytes(window), object_bytes(writable));
}

// ---- registers

void PciTransport::read_register(uint8_t bar, uint64_t offset, MutableByteView data) {
    if (bar != kRegisterBar) return;
    if (offset >= kNotifyOffset) return;
    std::ranges::fill(data, uint8_t{0});
    if (offset >= kDeviceOffset)
        return shown_.with(
            [&](const Shown& shown) { copy_part(shown.config, offset - kDeviceOffset, data); });
    if (offset >= kIsrOffset) {
        // Reading clears (VIRTIO 1.2, 4.1.4.5).
        if (offset == kIsrOffset) data[0] = isr_.exchange(0, std::memory_order_acq_rel);
        return;
    }
    shown_.with([&](const Shown& shown) { copy_part(object_bytes(shown.common), offset, data); });
}

void PciTransport::write_register(uint8_t bar, uint64_t offset, ByteView data) {
    if (bar != kRegisterBar) return;
    // The queue is known by the address; the value, its index, says nothing more.
    if (offset >= kNotifyOffset)
        return core_->notify(static_cast<uint32_t>((offset - kNotifyOffset) / kNotifyMultiplier));
    if (offset >= kDeviceOffset) return core_->write_config(offset - kDeviceOffset, data);
    if (offset < kIsrOffset) write_common(offset, data);
}

// VIRTIO 1.2, 4.1.3.1: fields are written in their own width, 64-bit ones also in halves. Anything else has
// no effect.
void PciTransport::write_common(uint64_t offset, ByteView data) {
    using Register = TransportCore::Register;
    const uint64_t value = number_in(data);
    const auto low = static_cast<uint32_t>(value);
    const auto write_half = [&](Register lower, Register upper, uint64_t field) {
        if (data.size() == 8 && offset == field) {
            core_->write(lower, low);
            core_->write(upper, static_cast<uint32_t>(value >> 32));
        }
        if (data.size() == 4) core_->write(offset == field ? lower : upper, low);
    };
    const auto is = [&](uint64_t field, size_t width) { return offset == field && data.size() == width; };
    const auto is_half_of = [&](uint64_t field) { return offset == field || offset == field + 4; };

    if (is(offsetof(CommonConfig, device_feature_select), 4)) {
        core_->write(Register::DeviceFeaturesSel, low);
    } else if (is(offsetof(CommonConfig, driver_feature_select), 4)) {
        core_->write(Register::DriverFeaturesSel, low);
    } else if (is(offsetof(CommonConfig, driver_feature), 4)) {
        core_->write(Register::DriverFeatures, low);
    } else if (is(offsetof(CommonConfig, config_msix_vector), 2)) {
        shown_.with([&](Shown& shown) { shown.common.config_msix_vector = usable_vector(value); });
    } else if (is(offsetof(CommonConfig, device_status), 1)) {
        core_->write(Register::Status, low);
    } else if (is(offsetof(CommonConfig, queue_select), 2)) {
        core_->write(Register::QueueSel, low);
    } else if (is(offsetof(CommonConfig, queue_size), 2)) {
        core_->write(Register::QueueSize, low);
    } else if (is(offsetof(CommonConfig, queue_msix_vector), 2)) {
        write_queue_vector(static_cast<uint16_t>(value));
    } else if (is(offsetof(CommonConfig, queue_enable), 2)) {
        // A driver never writes 0 here (4.1.4.3.2): disabling takes a reset.
        if (value == 1) core_->write(Register::QueueReady, 1);
    } else if (is_half_of(offsetof(CommonConfig, queue_desc))) {
        write_half(Register::QueueDescLow, Register::QueueDescHigh, offsetof(CommonConfig, queue_desc));
    } else if (is_half_of(offsetof(CommonConfig, queue_driver))) {
        write_half(Register::QueueDriverLow, Register::QueueDriverHigh, offsetof(CommonConfig, queue_driver));
    } else if (is_half_of(offsetof(CommonConfig, queue_device))) {
        write_half(Register::QueueDeviceLow, Register::QueueDeviceHigh, offsetof(CommonConfig, queue_device));
    }
}

// A vector that is not there reads back as none (VIRTIO 1.2, 4.1.5.1.2).
uint16_t PciTransport::usable_vector(uint64_t vector) {
    return vector < msix().size() ? static_cast<uint16_t>(vector) : virtio_pci::NO_VECTOR;
}

void PciTransport::write_queue_vector(uint16_t vector) {
    shown_.with([&](Shown& shown) {
        const uint16_t queue = shown.common.queue_select;
        if (queue >= shown.queue_vectors.size()) return;
        shown.queue_vectors[queue] = usable_vector(vector);
        shown.common.queue_msix_vector = shown.queue_vectors[queue];
    });
}

// ---- the window in configuration space (VIRTIO 1.2, 4.1.4.9)

bool PciTransport::touches_window(uint32_t offset, size_t length) const {
    const uint32_t start = window_capability_ + virtio_pci::kCapabilitySize;
    return offset < start + sizeof(virtio_pci::PciCfgCapability::pci_cfg_data) && offset + length > start;
}

std::optional<PciTransport::Target> PciTransport::window_target() {
    virtio_pci::Capability window;
    std::array<uint8_t, sizeof window> bytes;
    Function::read_config(window_capability_ + 2, bytes);
    window = *read_object<virtio_pci::Capability>(bytes);
    const uint32_t length = window.length;
    const uint32_t offset = window.offset;
    const bool is_valid = window.bar == kRegisterBar && (length == 1 || length == 2 || length == 4) &&
                          offset % length == 0 && range_within<uint64_t>(offset, length, kRegisterBarSize);
    if (!is_valid) return std::nullopt;
    return Target{.offset = offset, .length = length};
}

void PciTransport::read_config(uint32_t offset, MutableByteView data) {
    if (touches_window(offset, data.size())) {
        if (const auto target = window_target()) {
            std::array<uint8_t, 4> value{};
            read_bar(kRegisterBar, target->offset, MutableByteView(value).first(target->length));
            Function::write_config(window_capability_ + virtio_pci::kCapabilitySize, value);
        }
    }
    Function::read_config(offset, data);
}

void PciTransport::write_config(uint32_t offset, ByteView data) {
    Function::write_config(offset, data);
    if (!touches_window(offset, data.size())) return;
    const auto target = window_target();
    if (!target) return;
    std::array<uint8_t, 4> value;
    Function::read_config(window_capability_ + virtio_pci::kCapabilitySize, value);
    write_bar(kRegisterBar, target->offset, ByteView(value).first(target->length));
}

// ---- from the core

void PciTransport::show(const TransportRegisters& registers) {
    shown_.with([&](Shown& shown) {
        auto& common = shown.common;
        const auto* queue = registers.selected_queue();
        common.device_feature_select = registers.device_features_sel;
        common.device_feature = half_of(registers.device_features, registers.device_features_sel);
        common.driver_feature_select = registers.driver_features_sel;
        common.driver_feature = half_of(registers.driver_features, registers.driver_features_sel);
        common.num_queues = static_cast<uint16_t>(registers.queues.size());
        common.device_status = static_cast<uint8_t>(registers.status);
        common.queue_select = static_cast<uint16_t>(registers.queue_sel);
        common.queue_size = queue != nullptr ? static_cast<uint16_t>(queue->size) : uint16_t{0};
        common.queue_msix_vector =
            queue != nullptr ? shown.queue_vectors[registers.queue_sel] : virtio_pci::NO_VECTOR;
        common.queue_enable = queue != nullptr && queue->ready ? uint16_t{1} : uint16_t{0};
        common.queue_notify_off = common.queue_select;
        common.queue_desc = queue != nullptr ? queue->descriptor_table : 0;
        common.queue_driver = queue != nullptr ? queue->available_ring : 0;
        common.queue_device = queue != nullptr ? queue->used_ring : 0;
    });
}

void PciTransport::show_config(ByteView config, uint32_t generation) {
    shown_.with([&](Shown& shown) {
        shown.config = to_bytes(config);
        shown.common.config_generation = static_cast<uint8_t>(generation);
    });
}

void PciTransport::clear_interrupts() {
    isr_.store(0, std::memory_order_release);
    shown_.with([](Shown& shown) {
        shown.common.config_msix_vector = virtio_pci::NO_VECTOR;
        std::ranges::fill(shown.queue_vectors, virtio_pci::NO_VECTOR);
    });
}

void PciTransport::raise_queues(QueueMask queues) {
    // With MSI-X nobody reads it, without it nothing else tells the driver.
    isr_.fetch_or(virtio_pci::ISR_QUEUE, std::memory_order_acq_rel);
    // Queues may share a vector, which then gets one message.
    std::bitset<pci::MsixTable::kMaxVectors> vectors;
    shown_.with([&](const Shown& shown) {
        for (uint16_t queue = 0; queue < shown.queue_vectors.size(); ++queue) {
            const uint16_t vector = shown.queue_vectors[queue];
            if ((queues & queue_bit(queue)) != 0 && vector != virtio_pci::NO_VECTOR) vectors.set(vector);
        }
    });
    for (uint16_t vector = 0; vector < msix().size(); ++vector)
        if (vectors.test(vector)) msix().trigger(vector);
}

bool PciTransport::share_interrupt(uint16_t one, uint16_t other) const {
    return shown_.with(
        [&](const Shown& shown) { return shown.queue_vectors.at(one) == shown.queue_vectors.at(other); });
}

void PciTransport::raise_config() {
    isr_.fetch_or(virtio_pci::ISR_CONFIG, std::memory_order_acq_rel);
    const uint16_t vector =
        shown_.with([](const Shown& shown) -> uint16_t { return shown.common.config_msix_vector; });
    if (vector != virtio_pci::NO_VECTOR) msix().trigger(vector);
}

}  // namespace alcove::virtio
