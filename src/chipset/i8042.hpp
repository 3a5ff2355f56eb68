// SPDX-License-Identifier: Apache-2.0
//
// As much of the 8042 keyboard controller as a kernel needs to find one without keyboard or mouse, and to
// pulse the reset line through it (command FEh), which is how Linux restarts with reboot=k.
//
// Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
#pragma once

#include <cstdint>
#include <string_view>

#include "bus/bus_device.hpp"
#include "bus/state_unit.hpp"
#include "chipset/end_handler.hpp"
#include "support/guarded.hpp"

namespace alcove::chipset {

// Two windows of one port each, 60h (data) and 64h (status, command): port() gives the one for the bus.
class I8042 : public bus::StateUnit {
  public:
    static constexpr uint16_t kDataPort = 0x60;
    static constexpr uint16_t kCommandPort = 0x64;

    explicit I8042(EndHandler end);

    bus::BusDevice& data_port() { return data_port_; }
    bus::BusDevice& command_port() { return command_port_; }

    std::string_view name() const override { return "i8042"; }
    void reset() override;

  private:
    struct State {
        uint8_t control = 0x74;  // both devices off, no interrupts, system flag
        uint8_t command = 0;     // waits for its data byte; 0: none
        uint8_t output = 0;
        bool output_full = false;
    };
    class DataPort : public bus::BusDevice {
      public:
        explicit DataPort(I8042& owner) : owner_(owner) {}
        void read(uint64_t offset, MutableByteView data) override;
        void write(uint64_t offset, ByteView data) override;

      private:
        I8042& owner_;
    };
    class CommandPort : public bus::BusDevice {
      public:
        explicit CommandPort(I8042& owner) : owner_(owner) {}
        void read(uint64_t offset, MutableByteView data) override;
        void write(uint64_t offset, ByteView data) override;

      private:
        I8042& owner_;
    };
    void start_command(uint8_t command);

    EndHandler end_;
    Guarded<State> state_;
    DataPort data_port_{*this};
    CommandPort command_port_{*this};
};

}  // namespace alcove::chipset
