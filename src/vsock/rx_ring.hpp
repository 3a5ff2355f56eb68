// SPDX-License-Identifier: Apache-2.0
//
// The receive queue of the guest, as somebody sees it who has packets for it: a place for control packets,
// and room that a system call fills with a stream's bytes directly. Linux offers 4 KiB a buffer, so one
// read is spread over many buffers, each of which becomes a packet with its own header.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "support/result.hpp"
#include "virtio/queue.hpp"
#include "vsock/spec.hpp"

namespace alcove::vsock {

class RxRing {
  public:
    explicit RxRing(virtio::Queue queue) : queue_(std::move(queue)) {}

    // Errors of all these: the driver broke the ring.

    // A packet without payload. False when there is no buffer.
    Result<bool> put(const Header& header);

    // Sets aside buffers for up to `bytes` of payload and says for how many there is room: 0 when there is
    // no buffer. payload() is then what is to be filled, in order, in at most
    // memory::kMaxSlicesPerCall pieces. commit() follows, before anything else.
    Result<uint32_t> reserve(uint32_t bytes);
    std::span<const memory::GuestSlice> payload() const { return payload_; }
    // `length` bytes were filled; `header` goes before each packet's share of them, with its len. Buffers
    // that are not needed go back.
    Result<void> commit(Header header, uint32_t length);

    // Bytes of payload committed since the last flush().
    uint64_t unflushed() const { return unflushed_; }
    // Shows the driver what was put in. True when it wants an interrupt.
    Result<bool> flush();

    virtio::Queue& queue() { return queue_; }

  private:
    struct Buffer {
        virtio::Chain chain;
        uint32_t room = 0;  // for payload
    };
    Result<bool> take(Buffer& buffer);
    Result<void> give(const Buffer& buffer, const Header& header);

    virtio::Queue queue_;
    std::vector<Buffer> buffers_;  // the first reserved_ are set aside; storage is kept
    size_t reserved_ = 0;
    std::vector<memory::GuestSlice> payload_;
    uint64_t unflushed_ = 0;
};

}  // namespace alcove::vsock
