// SPDX-License-Identifier: Apache-2.0
//
// What a device looks like from a vCPU: a window of registers.
#pragma once

#include <cstdint>

#include "support/bytes.hpp"

namespace alcove::bus {

// Called on the thread of the vCPU that touches the window, by several at once: the device locks. `offset`
// is inside the window and so is offset + data.size(); sizes are 1, 2, 4 or 8. An access a register does
// not take reads as ones and is ignored when writing, as an empty bus does.
class BusDevice {
  public:
    virtual ~BusDevice() = default;
    virtual void read(uint64_t offset, MutableByteView data) = 0;
    virtual void write(uint64_t offset, ByteView data) = 0;
};

}  // namespace alcove::bus
