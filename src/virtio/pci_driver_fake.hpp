// SPDX-License-Identifier: Apache-2.0
//
// A driver that finds its device on a PCI bus and works it as Linux's does: capabilities, BARs, MSI-X with a
// vector for each queue, and then the same rings as FakeDriver's. It brings the bus and its surroundings
// along.
//
//     FakeMachine machine;
//     RngDevice device(machine.loop());
//     FakePciDriver driver(machine, device);
//     driver.start();
//     driver.queue(0).add({}, {64});
//     driver.notify(0);
//     machine.run();
//     driver.interrupts().take_delivered();     // data: FakePciDriver::kFirstData + queue
#pragma once

#include <memory>
#include <vector>

#include "pci/enumerator_fake.hpp"
#include "virtio/driver_fake.hpp"
#include "virtio/pci_transport.hpp"

namespace alcove::virtio {

class FakePciDriver {
  public:
    static constexpr uint8_t kSlot = 3;
    static constexpr uint32_t kFirstData = 0x40;  // of the message of vector 0; queue n has vector n
    static constexpr uint64_t kUsualFeatures = FakeDriver::kUsualFeatures;

    FakePciDriver(FakeMachine& machine, VirtioDevice& device);

    PciTransport& transport() { return *transport_; }
    pci::FakeInterrupts& interrupts() { return interrupts_; }
    pci::FakeDoorbells& doorbells() { return doorbells_; }
    pci::PciBus& bus() { return *bus_; }
    pci::FakeOs& os() { return os_; }

    // Where a structure is now, by its capability; 0 when there is no such capability.
    uint64_t structure(uint8_t cfg_type);
    uint8_t capability(uint8_t cfg_type);

    // Registers of the common configuration by their offset.
    uint64_t read(uint64_t offset, size_t width);
    void write(uint64_t offset, uint64_t value, size_t width);
    uint8_t status() { return static_cast<uint8_t>(read(0x14, 1)); }
    void set_status(uint32_t value) { write(0x14, value, 1); }

    bool negotiate(uint64_t features = kUsualFeatures);
    void set_up_queue(uint16_t index, const QueueLayout& layout);
    void start(uint64_t features = kUsualFeatures);
    void reset() { set_status(0); }

    FakeQueue& queue(uint16_t index) { return *queues_[index]; }
    uint64_t notify_address(uint16_t index);
    // By a doorbell if one is attached, as the hypervisor does it; else as an exit.
    void notify(uint16_t index);

  private:
    FakeMachine& machine_;
    pci::FakeInterrupts interrupts_;
    pci::FakeDoorbells doorbells_;
    std::unique_ptr<PciTransport> transport_;
    std::unique_ptr<pci::PciBus> bus_;
    pci::FakeOs os_;
    std::vector<std::unique_ptr<FakeQueue>> queues_;
};

}  // namespace alcove::virtio
