// SPDX-License-Identifier: Apache-2.0
//
// What VIRTIO 1.2, 5.3 lays down for console devices with ports, as far as a device with one port has it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::virtio::port {

// 5.3.2. Those of further ports would follow.
inline constexpr uint16_t kReceiveQueue = 0;  // to the driver
inline constexpr uint16_t kTransmitQueue = 1;
inline constexpr uint16_t kControlReceiveQueue = 2;  // to the driver
inline constexpr uint16_t kControlTransmitQueue = 3;
inline constexpr uint16_t kQueues = 4;

// 5.3.3
namespace feature {
inline constexpr uint64_t MULTIPORT = bit<uint64_t>(1);
}  // namespace feature

// 5.3.4
struct Config {
    Le16 cols;          // 0
    Le16 rows;          // 2
    Le32 max_nr_ports;  // 4
    Le32 emerg_wr;      // 8
};
static_assert(sizeof(Config) == 12 && offsetof(Config, max_nr_ports) == 4);

// 5.3.6.2: a control message. The name of a port follows it.
struct Control {
    Le32 id;     // 0   of the port
    Le16 event;  // 4
    Le16 value;  // 6
};
static_assert(sizeof(Control) == 8);

inline constexpr uint16_t DEVICE_READY = 0;
inline constexpr uint16_t DEVICE_ADD = 1;
inline constexpr uint16_t PORT_READY = 3;
inline constexpr uint16_t PORT_OPEN = 6;
inline constexpr uint16_t PORT_NAME = 7;

}  // namespace alcove::virtio::port
