// SPDX-License-Identifier: Apache-2.0
//
// The two small ports by which a guest tells how it ends: the registers of hardware-reduced ACPI (sleep
// control and reset), and the panic notifier.
//
// Sources: ACPI 6.5, 4.8.3.7 (sleep control) and 4.8.3.6 (reset register); QEMU docs/specs/pvpanic.rst,
// which names the interface that Linux's pvpanic driver drives.
#pragma once

#include <cstdint>

#include "bus/bus_device.hpp"
#include "chipset/end_handler.hpp"

namespace alcove::chipset {

// Five ports: sleep control, sleep status, two unused, reset.
class AcpiRegisters : public bus::BusDevice {
  public:
    static constexpr uint64_t kSleepControl = 0;
    static constexpr uint64_t kReset = 4;
    static constexpr uint64_t kSize = 5;

    // `sleep_type_s5` and `reset_value` are what the guest's ACPI tables say.
    AcpiRegisters(uint8_t sleep_type_s5, uint8_t reset_value, EndHandler end);

    void read(uint64_t offset, MutableByteView data) override;
    void write(uint64_t offset, ByteView data) override;

  private:
    uint8_t sleep_type_s5_;
    uint8_t reset_value_;
    EndHandler end_;
};

// One port: reading gives the events that are known, writing bit 0 says that the guest panicked.
class PanicPort : public bus::BusDevice {
  public:
    explicit PanicPort(EndHandler end);

    void read(uint64_t offset, MutableByteView data) override;
    void write(uint64_t offset, ByteView data) override;

  private:
    EndHandler end_;
};

}  // namespace alcove::chipset
