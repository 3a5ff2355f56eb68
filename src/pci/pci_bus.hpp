// SPDX-License-Identifier: Apache-2.0
//
// One PCI segment with one bus: a host bridge at 00:00.0 and up to 31 functions, one a slot. The machine puts
// its faces on the address buses: the ECAM window and the BAR windows in memory, CONFIG_ADDRESS and
// CONFIG_DATA in I/O space. Slots without a function read as ones.
//
// There is no firmware: add() gives every BAR its first place, in the order of adding, and that is also where
// a reset puts it. Decoding is off until the guest turns it on. A guest may move BARs anywhere inside the
// windows (bar_map.hpp).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bus/bus_device.hpp"
#include "bus/doorbell.hpp"
#include "bus/state_unit.hpp"
#include "pci/bar_map.hpp"
#include "pci/function.hpp"

namespace alcove::pci {

class PciBus : public bus::StateUnit {
  public:
    struct Windows {
        memory::GuestRange mmio32;  // below 4 GiB, page-aligned
        memory::GuestRange mmio64;  // above
    };
    // `doorbells` is borrowed and may be null.
    PciBus(const Windows& windows, bus::DoorbellHost* doorbells);
    // Takes the functions off the bus. No vCPU runs any more.
    ~PciBus() override;
    PciBus(const PciBus&) = delete;
    PciBus& operator=(const PciBus&) = delete;

    // While the machine is built. The function is borrowed and outlives the bus; the slot is free, 1 to 31.
    void add(uint8_t slot, Function& function);

    // Faces. Windows and sizes: memory::layout::kPciEcam, kPciMmio32, kPciMmio64, config_ports::kBase and
    // kSize.
    bus::BusDevice& ecam() { return ecam_; }
    bus::BusDevice& ports() { return ports_; }
    BarWindow& mmio32() { return mmio32_; }
    BarWindow& mmio64() { return mmio64_; }

    std::string_view name() const override { return "pci"; }
    void reset() override;  // every function on the bus too; while no vCPU runs

  private:
    class HostBridge;
    class Ecam : public bus::BusDevice {
      public:
        explicit Ecam(const PciBus& owner) : owner_(owner) {}
        void read(uint64_t offset, MutableByteView data) override;
        void write(uint64_t offset, ByteView data) override;

      private:
        const PciBus& owner_;
    };
    class Ports : public bus::BusDevice {
      public:
        explicit Ports(const PciBus& owner) : owner_(owner) {}
        void read(uint64_t offset, MutableByteView data) override;
        void write(uint64_t offset, ByteView data) override;
        void reset() { address_.store(0, std::memory_order_relaxed); }

      private:
        // CONFIG_ADDRESS. Any vCPU writes and reads it; a guest takes a lock of its own around the pair of
        // accesses, so no order beyond the word's own is needed.
        std::atomic<uint32_t> address_ = 0;
        const PciBus& owner_;
    };

    // The function at a place, or null.
    Function* function_at(uint64_t bus, uint64_t device, uint64_t function) const;
    uint64_t allocate(BarKind kind, uint64_t size);

    BarMap map_;
    bus::DoorbellHost* doorbells_;
    std::unique_ptr<Function> host_bridge_;
    std::array<Function*, kSlotCount> slots_{};
    uint64_t next32_;  // where the next BAR may go
    uint64_t next64_;
    Ecam ecam_{*this};
    Ports ports_{*this};
    BarWindow mmio32_;
    BarWindow mmio64_;
};

}  // namespace alcove::pci
