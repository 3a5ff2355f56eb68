// SPDX-License-Identifier: Apache-2.0
//
// Which function's BAR answers where, now. The machine's address bus never changes after it is built; it has
// the PCI windows as fixed windows of its own, and the map behind them changes whenever a guest moves a BAR.
//
// An access looks its target up under a shared lock and leaves the lock before the function is called:
// functions outlive the map and a BAR's size never changes, so an access that crosses a move on another vCPU
// still lands inside the function, as it might on a real bus. A slow register therefore holds up nobody.
//
// A BAR that is not whole inside one window answers nowhere. That is what a BAR full of ones is while it is
// sized by a guest that left decoding on. Where BARs overlap, the one that was there first answers.
#pragma once

#include <cstdint>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "bus/bus_device.hpp"
#include "memory/guest_address.hpp"

namespace alcove::pci {

class Function;

class BarMap {
  public:
    explicit BarMap(std::vector<memory::GuestRange> windows) : windows_(std::move(windows)) {}

    // Whether one of the windows holds the range whole.
    bool can_hold(uint64_t address, uint64_t size) const;

    // From any thread. A BAR is placed once at a time, where can_hold() says yes.
    void place(Function& function, uint8_t bar, memory::GuestRange range);
    void remove(const Function& function, uint8_t bar);

    // Reads as ones and writes nowhere unless a single BAR holds the access whole; false then.
    bool read(uint64_t address, MutableByteView data) const;
    bool write(uint64_t address, ByteView data) const;

  private:
    struct Placed {
        memory::GuestRange range;
        Function* function;
        uint8_t bar;
    };
    struct Hit {
        Function* function;
        uint8_t bar;
        uint64_t offset;
    };
    std::optional<Hit> find(uint64_t address, uint64_t length) const;

    const std::vector<memory::GuestRange> windows_;
    mutable std::shared_mutex mutex_;  // of placed_
    std::vector<Placed> placed_;       // in the order of placing; a machine has a few dozen at most
};

// One of the windows, as a device of the address bus.
class BarWindow : public bus::BusDevice {
  public:
    BarWindow(const BarMap& map, memory::GuestRange range) : map_(map), range_(range) {}

    const memory::GuestRange& range() const { return range_; }
    void read(uint64_t offset, MutableByteView data) override {
        (void)map_.read(range_.base.value() + offset, data);
    }
    void write(uint64_t offset, ByteView data) override {
        (void)map_.write(range_.base.value() + offset, data);
    }

  private:
    const BarMap& map_;
    const memory::GuestRange range_;
};

}  // namespace alcove::pci
