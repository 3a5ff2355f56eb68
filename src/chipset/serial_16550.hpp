// SPDX-License-Identifier: Apache-2.0
//
// A 16550A serial port that is always ready to send and never receives: the guest's console. What is sent
// goes to a sink, which a debug enclave has and another has not.
//
// Source: National Semiconductor PC16550D data sheet; register names are its.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "bus/bus_device.hpp"
#include "bus/interrupt_line.hpp"
#include "bus/state_unit.hpp"
#include "support/guarded.hpp"

namespace alcove::chipset {

class Serial16550 : public bus::BusDevice, public bus::StateUnit {
  public:
    // Called under the device's lock with each byte sent: it stores the byte and returns.
    using Sink = std::function<void(uint8_t)>;

    Serial16550(Sink sink, bus::InterruptLine& interrupt);

    void read(uint64_t offset, MutableByteView data) override;
    void write(uint64_t offset, ByteView data) override;
    std::string_view name() const override { return "serial0"; }
    void reset() override;

  private:
    struct Registers {
        uint8_t IER = 0;
        uint8_t FCR = 0;
        uint8_t LCR = 0;
        uint8_t MCR = 0;
        uint8_t SCR = 0;
        uint8_t DLL = 0;
        uint8_t DLM = 0;
        bool thr_empty_pending = false;  // cleared by reading IIR or writing THR
    };
    uint8_t read_register(Registers& registers, uint64_t offset) const;
    // Whether the interrupt output rises.
    bool write_register(Registers& registers, uint64_t offset, uint8_t value) const;

    Sink sink_;
    bus::InterruptLine& interrupt_;
    Guarded<Registers> registers_;
};

}  // namespace alcove::chipset
