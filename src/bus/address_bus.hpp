// SPDX-License-Identifier: Apache-2.0
//
// Which device answers at an address: one bus for memory-mapped registers, one for I/O ports. Filled while
// the machine is built and read-only afterwards, so vCPU threads need no lock.
#pragma once

#include <cstdint>
#include <map>

#include "bus/bus_device.hpp"
#include "support/result.hpp"

namespace alcove::bus {

class AddressBus {
  public:
    // The device is borrowed. Windows must not overlap: our own plan.
    void add(uint64_t base, uint64_t size, BusDevice& device);

    // An access that no single window holds whole reads as ones and writes nowhere; the result says
    // whether a device answered.
    bool read(uint64_t address, MutableByteView data) const;
    bool write(uint64_t address, ByteView data) const;

  private:
    struct Window {
        uint64_t size;
        BusDevice* device;
    };
    struct Hit {
        BusDevice* device;
        uint64_t offset;
    };
    Hit find(uint64_t address, uint64_t length) const;

    std::map<uint64_t, Window> windows_;  // by base address
};

}  // namespace alcove::bus
