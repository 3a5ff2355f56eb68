// SPDX-License-Identifier: Apache-2.0
//
// A PCI function: what every device on the bus has alike. It keeps configuration space, and acts on what a
// guest writes there: BARs appear in the bus's map, move and vanish with their doorbells, MSI-X opens and
// closes. A device derives from it, declares its BARs and capabilities in its constructor, and answers
// register accesses.
//
// Threads: vCPUs come in at any time and several at once. The lock in here covers configuration space and
// what follows from it; no register of the device is touched under it. Order of locks: this one, then the
// map's, the MSI-X table's, and the hypervisor's own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bus/doorbell.hpp"
#include "bus/state_unit.hpp"
#include "pci/bar_map.hpp"
#include "pci/config_space.hpp"
#include "pci/msix_table.hpp"
#include "support/event_fd.hpp"
#include "support/guarded.hpp"

namespace alcove::pci {

class Function : public bus::StateUnit {
  public:
    ~Function() override = default;
    Function(const Function&) = delete;
    Function& operator=(const Function&) = delete;

    // Configuration space, in any width of up to 8 bytes.
    virtual void read_config(uint32_t offset, MutableByteView data);
    virtual void write_config(uint32_t offset, ByteView data);

    // Inside the BAR, offset + data.size() included. The MSI-X table answers where it lies, the device
    // elsewhere.
    void read_bar(uint8_t bar, uint64_t offset, MutableByteView data);
    void write_bar(uint8_t bar, uint64_t offset, ByteView data);
    uint64_t bar_size(uint8_t bar) const { return bar_sizes_[bar]; }

    // A machine reset, while no vCPU runs: the device first, then configuration space and MSI-X as they were
    // at first.
    void reset() override;

    // By the bus. Between the two calls map and doorbells (may be null) stay.
    void attach(BarMap& map, bus::DoorbellHost* doorbells);
    void detach();
    // Before attach(): where the BAR is at first.
    void place_bar(uint8_t bar, uint64_t address);
    BarKind bar_kind(uint8_t bar) const;

  protected:
    explicit Function(const Identity& identity);

    // All in the constructor of the device.
    void add_bar(uint8_t bar, BarKind kind, uint64_t size);
    uint8_t add_capability(uint8_t id, ByteView body, ByteView writable = {});
    // Table and pending bits lie in BARs that were added, where no register of the device is.
    struct MsixPlace {
        uint8_t bar;
        uint32_t table_offset;
        uint32_t pending_offset;
    };
    void add_msix(std::unique_ptr<MsixTable> table, const MsixPlace& place);
    // A BAR of its own for MSI-X, of one page.
    void add_msix(std::unique_ptr<MsixTable> table, uint8_t bar);
    // A register that does nothing but signal, for writes of any kind, wherever its BAR is. The device
    // signals in write_register() too: where the hypervisor takes no doorbell, writes come there. Borrowed:
    // the event outlives the function's time on the bus.
    void add_doorbell(uint8_t bar, uint64_t offset, const EventFd& event);

    MsixTable& msix() { return *msix_; }

    // As BusDevice: on the thread of the vCPU, by several at once.
    virtual void read_register(uint8_t bar, uint64_t offset, MutableByteView data) = 0;
    virtual void write_register(uint8_t bar, uint64_t offset, ByteView data) = 0;
    virtual void reset_device() = 0;

  private:
    struct Doorbell {
        uint8_t bar;
        uint64_t offset;
        const EventFd* event;
        std::optional<memory::GuestAddress> attached;
    };
    struct Front {
        explicit Front(const Identity& identity) : config(identity) {}
        ConfigSpace config;
        std::array<std::optional<uint64_t>, kBarCount> decoded;  // where each BAR answers now
        std::vector<Doorbell> doorbells;
        BarMap* map = nullptr;
        bus::DoorbellHost* doorbell_host = nullptr;
    };

    // Under the lock.
    void settle(Front& front);
    void settle_bar(Front& front, uint8_t bar);
    void attach_doorbells(Front& front, uint8_t bar, uint64_t address);
    static void detach_doorbells(Front& front, uint8_t bar);

    struct Block {
        bus::BusDevice* device;
        uint64_t offset;
    };
    // The part of MSI-X that an access begins in.
    std::optional<Block> msix_block(uint8_t bar, uint64_t offset) const;

    Guarded<Front> front_;
    std::array<uint64_t, kBarCount> bar_sizes_{};
    std::unique_ptr<MsixTable> msix_;
    MsixPlace msix_place_{};
    uint8_t msix_capability_ = 0;
};

}  // namespace alcove::pci
