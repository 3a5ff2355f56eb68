// SPDX-License-Identifier: Apache-2.0
#include "virtio/pci_driver_fake.hpp"

#include <algorithm>

namespace alcove::virtio {

using virtio_pci::CommonConfig;

namespace {

std::unique_ptr<PciTransport> make_transport(FakeMachine& machine, VirtioDevice& device,
                                             bus::MessageInterrupts& interrupts) {
    return PciTransport::create(
               {.loop = &machine.loop(), .memory = machine.memory(), .interrupts = &interrupts}, device)
        .value();
}

}  // namespace

FakePciDriver::FakePciDriver(FakeMachine& machine, VirtioDevice& device)
    : machine_(machine),
      transport_(make_transport(machine, device, interrupts_)),
      bus_(std::make_unique<pci::PciBus>(pci::kFakeWindows, &doorbells_)),
      os_(*bus_, kSlot) {
    bus_->add(kSlot, *transport_);
    os_.enable_msix(kFirstData);
}

uint8_t FakePciDriver::capability(uint8_t cfg_type) {
    uint8_t at = 0;
    do {
        at = os_.find_capability(pci::capability_id::VendorSpecific, at);
    } while (at != 0 && os_.read_config(at + 3U, 1) != cfg_type);
    return at;
}

uint64_t FakePciDriver::structure(uint8_t cfg_type) {
    const uint8_t at = capability(cfg_type);
    if (at == 0) return 0;
    return os_.bar_address(static_cast<uint8_t>(os_.read_config(at + 4U, 1))) + os_.read_config(at + 8U, 4);
}

uint64_t FakePciDriver::read(uint64_t offset, size_t width) {
    return os_.read_memory(structure(virtio_pci::COMMON_CFG) + offset, width);
}

void FakePciDriver::write(uint64_t offset, uint64_t value, size_t width) {
    os_.write_memory(structure(virtio_pci::COMMON_CFG) + offset, value, width);
}

bool FakePciDriver::negotiate(uint64_t features) {
    set_status(0);
    set_status(status::ACKNOWLEDGE);
    set_status(status::ACKNOWLEDGE | status::DRIVER);
    for (uint32_t half = 0; half < 2; ++half) {
        write(offsetof(CommonConfig, driver_feature_select), half, 4);
        write(offsetof(CommonConfig, driver_feature), half_of(features, half), 4);
    }
    set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
    return (status() & status::FEATURES_OK) != 0;
}

void FakePciDriver::set_up_queue(uint16_t index, const QueueLayout& layout) {
    write(offsetof(CommonConfig, queue_select), index, 2);
    write(offsetof(CommonConfig, queue_size), layout.size, 2);
    // In halves, as Linux writes them.
    const auto write_both = [this](uint64_t offset, memory::GuestAddress address) {
        write(offset, address.value() & 0xffffffff, 4);
        write(offset + 4, address.value() >> 32, 4);
    };
    write_both(offsetof(CommonConfig, queue_desc), layout.descriptor_table);
    write_both(offsetof(CommonConfig, queue_driver), layout.available_ring);
    write_both(offsetof(CommonConfig, queue_device), layout.used_ring);
    write(offsetof(CommonConfig, queue_msix_vector), index, 2);
    write(offsetof(CommonConfig, queue_enable), 1, 2);
}

void FakePciDriver::start(uint64_t features) {
    ALCOVE_CHECK(negotiate(features), "the device takes the features");
    queues_.clear();
    const auto count = static_cast<uint16_t>(read(offsetof(CommonConfig, num_queues), 2));
    write(offsetof(CommonConfig, config_msix_vector), count, 2);
    for (uint16_t index = 0; index < count; ++index) {
        write(offsetof(CommonConfig, queue_select), index, 2);
        const auto size =
            static_cast<uint16_t>(std::min<uint64_t>(read(offsetof(CommonConfig, queue_size), 2), 256));
        queues_.push_back(std::make_unique<FakeQueue>(machine_, size, features));
        set_up_queue(index, queues_.back()->layout());
    }
    set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK);
    machine_.run();
}

uint64_t FakePciDriver::notify_address(uint16_t index) {
    const uint64_t multiplier = os_.read_config(capability(virtio_pci::NOTIFY_CFG) + 16U, 4);
    write(offsetof(CommonConfig, queue_select), index, 2);
    return structure(virtio_pci::NOTIFY_CFG) + multiplier * read(offsetof(CommonConfig, queue_notify_off), 2);
}

void FakePciDriver::notify(uint16_t index) {
    const uint64_t address = notify_address(index);
    if (!doorbells_.ring(address)) os_.write_memory(address, index, 2);
}

}  // namespace alcove::virtio
