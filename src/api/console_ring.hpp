// SPDX-License-Identifier: Apache-2.0
//
// The console of a debug enclave, kept for whoever looks later. A ring in a memfd that the shim makes: the
// VMM writes and never waits; the shim and, through it, alcoved read, each at its own pace, first what is
// still there, then what comes. Output that is overwritten before a reader gets there is skipped, and the
// reader is told how much.
//
//     0     Le32 magic, Le32 data size, then the counters, each on a cache line of its own
//     64    uint64 claimed: bytes ever written or being written
//     128   uint64 written: bytes ever written
//     4096  data: byte n of the stream is at n modulo the data size
//
// The producer raises `claimed`, stores the bytes, then raises `written`; a reader copies up to `written` and
// afterwards throws away what `claimed` says may have been overwritten meanwhile. The producer is a process
// that a guest may have taken over, so a reader believes neither counter further than the data size.
#pragma once

#include <atomic>

#include "support/mapping.hpp"

namespace alcove::api {

inline constexpr uint64_t kConsoleDataOffset = 4096;
inline constexpr uint64_t kConsoleDataBytes = 256 * 1024;
inline constexpr uint64_t kConsoleRingBytes = kConsoleDataOffset + kConsoleDataBytes;

// A fresh ring, empty: a memfd of kConsoleRingBytes, sealed against changes of its size, mode 0600.
Result<Fd> make_console_ring();

class ConsoleRingWriter {
  public:
    // Goes on behind what a former writer wrote. ErrorCode::InvalidArgument when the descriptor is no such
    // ring.
    static Result<ConsoleRingWriter> open(const Fd& ring);

    // One writer, one thread at a time. Never blocks.
    void write(ByteView bytes);

  private:
    ConsoleRingWriter(Mapping mapping, uint64_t position)
        : mapping_(std::move(mapping)), position_(position) {}
    Mapping mapping_;
    uint64_t position_;  // bytes ever written; ours alone
};

class ConsoleRingReader {
  public:
    static Result<ConsoleRingReader> open(const Fd& ring);

    struct Piece {
        Bytes data;            // empty: nothing new
        uint64_t skipped = 0;  // bytes that were lost between the last piece and this one
    };
    // What came since the last call; the first gives everything that is still there.
    Piece read();

  private:
    explicit ConsoleRingReader(Mapping mapping) : mapping_(std::move(mapping)) {}
    uint64_t load(uint64_t offset) const;

    Mapping mapping_;
    uint64_t position_ = 0;
};

}  // namespace alcove::api
