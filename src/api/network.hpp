// SPDX-License-Identifier: Apache-2.0
//
// The networks of a primary VM, as launch messages carry them: what each is plugged into, and its address.
// The descriptors travel beside the message, in the same order.
#pragma once

#include <array>
#include <cstdint>

#include "api/limits.hpp"
#include "api/vm_role.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::api {

// What the descriptor of a network is. A number is never reused.
enum class NetworkKind : uint8_t {
    None = 0,
    Tap = 1,    // a tap interface: one frame a read or write, no header before it
    Stream = 2  // a Unix stream socket: each frame follows its length, as four bytes, big-endian
};

using MacAddress = std::array<uint8_t, 6>;

struct Network {
    MacAddress mac{};
    uint8_t kind = 0;  // NetworkKind
    uint8_t reserved = 0;
};
static_assert(sizeof(Network) == 8);

// Those that there are, then those that there are not, which are all zero.
using Networks = std::array<Network, kMaxNetworks>;

// One machine's, and no group's (IEEE 802: the lowest bit of the first byte).
constexpr bool is_station(const MacAddress& mac) {
    return mac != MacAddress{} && (mac[0] & 1) == 0;
}
size_t network_count(const Networks& networks);
// Each entry by itself, no gap, and none of an enclave.
bool are_networks_of(VmRole role, const Networks& networks);

// Whether the descriptor is what its kind says. ErrorCode::InvalidArgument.
Result<void> check_network(const Fd& descriptor, NetworkKind kind);

}  // namespace alcove::api
