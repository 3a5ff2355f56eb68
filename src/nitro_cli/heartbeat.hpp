// SPDX-License-Identifier: Apache-2.0
//
// The first sign of life of an enclave: its init connects to CID 3, port 9000, sends a byte and has it echoed
// (nitro.md 2.5). One program of a machine can listen there at a time, so starts take turns (start_lock.hpp).
//
// While it is waited for, the enclave itself is watched too: one that dies is reported at once, and not when
// the time is over; and so is whoever asked for the start: nobody there any more means that nobody wants it.
#pragma once

#include <chrono>
#include <cstdint>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

inline constexpr uint32_t kParentCid = 3;
inline constexpr uint32_t kHeartbeatPort = 9000;
inline constexpr uint8_t kHeartbeat = 0xb7;

// The port; a Unix socket in tests.
class HeartbeatPort {
  public:
    virtual ~HeartbeatPort() = default;
    // A listening socket. Busy when another program has the port.
    virtual Result<Fd> listen() = 0;
    // Who connected.
    virtual Result<uint64_t> peer_cid(const Fd& connection) = 0;
};

class VsockHeartbeatPort final : public HeartbeatPort {
  public:
    Result<Fd> listen() override;
    Result<uint64_t> peer_cid(const Fd& connection) override;
};

// listen(), but waits as long as `patience`, or as `caller` has not hung up, for another program to let go of
// the port. EnclaveBoot.
Result<Fd> listen_for_heartbeat(HeartbeatPort& port, const Fd& caller, std::chrono::milliseconds patience);

struct HeartbeatWatch {
    const Fd& listener;
    const Fd& enclave;  // EPOLLHUP: it has ended
    const Fd& caller;   // hung up: nobody waits any more
    uint64_t cid;       // of the enclave; others that connect are not it
    std::chrono::milliseconds patience;
};
// EnclaveBoot, with what happened instead.
Result<void> await_heartbeat(HeartbeatPort& port, const HeartbeatWatch& watch);

}  // namespace alcove::nitro_cli
