// SPDX-License-Identifier: Apache-2.0
//
// What VIRTIO 1.2, 5.10 (socket device) lays down and nothing more: packets, operations, flags, well-known
// context ids, and the addresses they are made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/endian.hpp"

namespace alcove::vsock {

// A context id names a machine, a port a socket on it. Neither is a plain number, nor the other.
enum class Cid : uint64_t {
    Hypervisor = 0,
    Local = 1,
    Host = 2,
    Parent = 3,  // Nitro Enclaves: the VM that an enclave was carved out of
};
enum class Port : uint32_t { Any = 0xffffffff };

constexpr uint64_t number(Cid cid) {
    return static_cast<uint64_t>(cid);
}
constexpr uint32_t number(Port port) {
    return static_cast<uint32_t>(port);
}
constexpr Cid to_cid(uint64_t value) {
    return static_cast<Cid>(value);
}
constexpr Port to_port(uint32_t value) {
    return static_cast<Port>(value);
}

// VIRTIO 1.2, 5.10.2.
namespace queue_index {
inline constexpr uint16_t kRx = 0;  // device to driver
inline constexpr uint16_t kTx = 1;  // driver to device
inline constexpr uint16_t kEvent = 2;
inline constexpr uint16_t kCount = 3;
}  // namespace queue_index

// VIRTIO 1.2, 5.10.3. VIRTIO_VSOCK_F_STREAM only says what is assumed without any feature bit.
namespace feature {
inline constexpr uint64_t STREAM = 1;
}

// VIRTIO 1.2, 5.10.4.
struct Config {
    Le64 guest_cid;  // 0
};
static_assert(sizeof(Config) == 8);

// VIRTIO 1.2, 5.10.6.
struct Header {
    Le64 src_cid;    // 0
    Le64 dst_cid;    // 8
    Le32 src_port;   // 16
    Le32 dst_port;   // 20
    Le32 len;        // 24  payload bytes that follow
    Le16 type;       // 28
    Le16 op;         // 30
    Le32 flags;      // 32
    Le32 buf_alloc;  // 36  receive buffer of the sender of this packet
    Le32 fwd_cnt;    // 40  bytes its user took out of that buffer so far, modulo 2^32
};
static_assert(sizeof(Header) == 44 && alignof(Header) == 1);
inline constexpr uint32_t kHeaderSize = sizeof(Header);
static_assert(offsetof(Header, type) == 28 && offsetof(Header, fwd_cnt) == 40);

namespace type {
inline constexpr uint16_t STREAM = 1;
}

enum class Op : uint16_t {
    INVALID = 0,
    REQUEST = 1,
    RESPONSE = 2,
    RST = 3,
    SHUTDOWN = 4,
    RW = 5,
    CREDIT_UPDATE = 6,
    CREDIT_REQUEST = 7,
};

// Also what is none of them: a guest can send any number.
inline Op op_of(const Header& header) {
    return static_cast<Op>(uint16_t{header.op});
}

namespace shutdown_flag {
inline constexpr uint32_t RCV = 1;   // the sender of this packet receives no more
inline constexpr uint32_t SEND = 2;  // ... sends no more
inline constexpr uint32_t BOTH = RCV | SEND;
}  // namespace shutdown_flag

// Linux sends and takes no larger payloads (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE).
inline constexpr uint32_t kMaxPayload = 64 * 1024;

}  // namespace alcove::vsock
