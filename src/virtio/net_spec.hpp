// SPDX-License-Identifier: Apache-2.0
//
// What VIRTIO 1.2, 5.1 lays down for network devices, and nothing more.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::virtio::net {

// 5.1.2
inline constexpr uint16_t kReceiveQueue = 0;
inline constexpr uint16_t kTransmitQueue = 1;

// 5.1.3
namespace feature {
inline constexpr uint64_t MTU = bit<uint64_t>(3);
inline constexpr uint64_t MAC = bit<uint64_t>(5);
inline constexpr uint64_t STATUS = bit<uint64_t>(16);
}  // namespace feature

// 5.1.4
struct Config {
    uint8_t mac[6] = {};         // 0
    Le16 status{};               // 6
    Le16 max_virtqueue_pairs{};  // 8
    Le16 mtu{};                  // 10
};
static_assert(sizeof(Config) == 12);
inline constexpr uint16_t S_LINK_UP = 1;

// 5.1.6
struct PacketHeader {
    uint8_t flags = 0;     // 0
    uint8_t gso_type = 0;  // 1
    Le16 hdr_len{};        // 2
    Le16 gso_size{};       // 4
    Le16 csum_start{};     // 6
    Le16 csum_offset{};    // 8
    Le16 num_buffers{};    // 10
};
static_assert(sizeof(PacketHeader) == 12);

}  // namespace alcove::virtio::net
