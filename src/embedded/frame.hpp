// SPDX-License-Identifier: Apache-2.0
//
// The bridge's wire format: what travels over the one virtio-serial port between this machine and the
// embedded host. A frame is an 8-byte header and a payload; with its header it fits the 32 KiB that Linux's
// virtio-console driver moves in one write. Layouts only, and the reader that cuts a byte stream into
// frames; what they mean is in mux.hpp, how a conversation begins in session.hpp.
//
//     header  { u8 type; u8 zero; le16 payload length; le32 stream }
//     Open      target, text                       outer -> inner
//     Opened    (empty)                            inner -> outer
//     Data      1..kMaxPayload bytes
//     Credit    le32: bytes consumed, that may be sent again
//     Shutdown  (empty): no more Data from this side
//     Reset     le16 ErrorCode, text of at most kMaxReason bytes
//
// Type 0 is no frame: a run of zeros completes whatever frame a dead predecessor left half-written and then
// stops the reader, which is how a new conversation cuts in (session.hpp).
#pragma once

#include <optional>

#include "support/bytes.hpp"
#include "support/endian.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

enum class FrameType : uint8_t { Open = 1, Opened = 2, Data = 3, Credit = 4, Shutdown = 5, Reset = 6 };

using StreamId = uint32_t;  // chosen by the opener, rising, never used twice in a session

struct FrameHeader {
    uint8_t type = 0;
    uint8_t zero = 0;
    Le16 length;
    Le32 stream;
};
static_assert(sizeof(FrameHeader) == 8 && alignof(FrameHeader) == 1);

struct CreditPayload {
    Le32 bytes;
};
static_assert(sizeof(CreditPayload) == 4);

struct ResetPayload {
    Le16 code;  // an ErrorCode; an unknown one counts as ConnectionLost
};
static_assert(sizeof(ResetPayload) == 2);

inline constexpr size_t kMaxFrame = 32 * 1024;
inline constexpr size_t kMaxPayload = kMaxFrame - sizeof(FrameHeader);
inline constexpr size_t kMaxTarget = 4096;
inline constexpr size_t kMaxReason = 512;

struct Frame {
    FrameType type;
    StreamId stream;
    ByteView payload;  // lies in the reader: valid until its next call
};

// Checks what can be known from a header alone: type, padding and the length that goes with the type.
Result<Frame> check_header(const FrameHeader& header);

void append_frame(Bytes& out, FrameType type, StreamId stream, ByteView payload);

// Collects bytes as they come and hands out whole frames without copying them. Holds two frames at most.
class FrameReader {
  public:
    FrameReader() : buffer_(2 * kMaxFrame) {}

    // Where the next bytes go; never empty when every whole frame has been taken.
    MutableByteView space();
    void commit(size_t bytes) { end_ += bytes; }

    // The next whole frame, nothing when more bytes are needed, or an Error: not a frame of ours. After an
    // Error the position stands at the offending header.
    Result<std::optional<Frame>> next();

    // For the conversation's beginning, which is not made of frames.
    ByteView pending() const { return ByteView(buffer_).subspan(begin_, end_ - begin_); }
    void drop(size_t bytes) { begin_ += bytes; }

  private:
    Bytes buffer_;
    size_t begin_ = 0;
    size_t end_ = 0;
};

}  // namespace alcove::embedded
