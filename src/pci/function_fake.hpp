// SPDX-License-Identifier: Apache-2.0
//
// A function for the tests of the bus: registers that remember, MSI-X in a BAR of its own, a 64-bit BAR with
// a doorbell, and a vendor-specific capability.
#pragma once

#include "pci/enumerator_fake.hpp"
#include "pci/function.hpp"
#include "support/endian.hpp"

namespace alcove::pci {

class FakeFunction : public Function {
  public:
    static constexpr uint8_t kRegisters = 0;
    static constexpr uint8_t kMsix = 1;
    static constexpr uint8_t kBells = 2;
    static constexpr uint64_t kBellOffset = 0x10;

    explicit FakeFunction(FakeInterrupts& interrupts)
        : Function({.vendor_id = 0x1d0f, .device_id = 0xe4c1, .class_code = 0x078000, .revision_id = 1}) {
        add_bar(kRegisters, BarKind::Memory32, 0x1000);
        add_bar(kBells, BarKind::Memory64, 0x2000);
        add_msix(MsixTable::create(interrupts, 2).value(), kMsix);
        add_capability(capability_id::VendorSpecific, Bytes{4, 0x77});
        add_doorbell(kBells, kBellOffset, bell);
    }

    struct Access {
        uint8_t bar;
        uint64_t offset;
        Bytes data;
        bool operator==(const Access&) const = default;
    };

    std::string_view name() const override { return "fake"; }
    void trigger(uint16_t vector) { msix().trigger(vector); }

    EventFd bell = EventFd::create().value();
    std::vector<Access> writes;
    int resets = 0;

  protected:
    // Each byte reads as its offset.
    void read_register(uint8_t, uint64_t offset, MutableByteView data) override {
        for (size_t i = 0; i < data.size(); ++i)
            data[i] = static_cast<uint8_t>(offset + i);
    }
    void write_register(uint8_t bar, uint64_t offset, ByteView data) override {
        writes.push_back({bar, offset, to_bytes(data)});
        if (bar == kBells && offset == kBellOffset) bell.signal();
    }
    void reset_device() override { ++resets; }
};

}  // namespace alcove::pci
