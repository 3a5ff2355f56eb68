// SPDX-License-Identifier: Apache-2.0
//
// What the guest of a VM with a balloon is asked for, and by whom: a port (virtio/port.hpp) at which a
// program in the guest (guests/epc_balloon) hears how much EPC it is to hold without use, and says how much
// it holds. What it says is for people to look at; what it really holds the engine counts (sgx::IdlePages).
//
// Both ways go messages of 16 bytes, little-endian; one of another version or kind is passed over:
//
//     0   version   2 bytes   1
//     2   kind      2 bytes   1, to the guest: hold so much. 2, from the guest: so much is held
//     4   0         4 bytes
//     8   bytes     8 bytes   of EPC
//
// Of what the guest holds for it something is kept elsewhere (sgx::kBytesOfEnclave): it is asked for more
// than its host wants, so that there is as much as that.
#pragma once

#include <array>
#include <cstdint>

#include "support/endian.hpp"
#include "virtio/port.hpp"

namespace alcove::vmm {

struct BalloonMessage {
    static constexpr uint16_t kVersion = 1;
    static constexpr uint16_t kHold = 1;
    static constexpr uint16_t kHeld = 2;

    Le16 version;
    Le16 kind;
    Le32 reserved;
    Le64 bytes;
};
static_assert(sizeof(BalloonMessage) == 16);

class EpcBalloon {
  public:
    static constexpr const char* kPortName = "alcove.epc-balloon";

    // The loop is borrowed. `target` in bytes, as everything here.
    EpcBalloon(EventLoop& loop, uint64_t target);

    virtio::PortDevice& device() { return port_; }
    void set_target(uint64_t target);
    uint64_t target() const { return target_; }
    // The program's word; 0 while there is none.
    uint64_t reported() const { return reported_; }

    // What the guest has to hold for it.
    static uint64_t demand(uint64_t target);

  private:
    void tell();
    void take(ByteView bytes);

    uint64_t target_;
    uint64_t reported_ = 0;
    std::array<uint8_t, sizeof(BalloonMessage)> partial_{};  // of what the program says
    size_t partial_size_ = 0;
    virtio::PortDevice port_;
};

}  // namespace alcove::vmm
