// SPDX-License-Identifier: Apache-2.0
//
// Bytes that wait for a reader, in the order they came. Memory follows content: pieces are as large as what
// arrived (many small arrivals share one), and go as soon as they are read. The owner bounds the content.
#pragma once

#include <cstdint>
#include <deque>
#include <span>

#include "memory/guest_memory.hpp"
#include "support/bytes.hpp"

namespace alcove::vsock {

class ByteQueue {
  public:
    bool is_empty() const { return size_ == 0; }
    uint64_t size() const { return size_; }
    // What it takes in memory: size() and less than a piece at either end.
    uint64_t capacity() const { return capacity_; }

    // Copies out of guest memory.
    void append(std::span<const memory::GuestSlice> slices);
    // The longest run of bytes at the front. Empty only when the queue is.
    ByteView front() const;
    void drop(size_t count);  // count <= front().size()
    void clear();

  private:
    struct Piece {
        Bytes bytes;
        size_t used = 0;  // filled from the start
        size_t read = 0;  // already dropped
    };
    void append(const memory::GuestSlice& slice);

    std::deque<Piece> pieces_;
    uint64_t size_ = 0;
    uint64_t capacity_ = 0;
};

}  // namespace alcove::vsock
