// SPDX-License-Identifier: Apache-2.0
#include "embedded/frame.hpp"

#include <cstring>

namespace alcove::embedded {

Result<Frame> check_header(const FrameHeader& header) {
    const size_t length = header.length;
    bool fits = false;
    switch (static_cast<FrameType>(header.type)) {
        case FrameType::Open:
            fits = length >= 1 && length <= kMaxTarget;
            break;
        case FrameType::Opened:
        case FrameType::Shutdown:
            fits = length == 0;
            break;
        case FrameType::Data:
            fits = length >= 1 && length <= kMaxPayload;
            break;
        case FrameType::Credit:
            fits = length == sizeof(CreditPayload);
            break;
        case FrameType::Reset:
            fits = length >= sizeof(ResetPayload) && length <= sizeof(ResetPayload) + kMaxReason;
            break;
        default:
            return fail(ErrorCode::InvalidMessage, "unknown frame type " + std::to_string(header.type));
    }
    if (!fits || header.zero != 0)
        return fail(ErrorCode::InvalidMessage, "a frame of type " + std::to_string(header.type) + " with " +
                                                   std::to_string(length) + " bytes is malformed");
    return Frame{.type = static_cast<FrameType>(header.type), .stream = header.stream, .payload = {}};
}

void append_frame(Bytes& out, FrameType type, StreamId stream, ByteView payload) {
    ALCOVE_CHECK(payload.size() <= kMaxPayload, "a frame's payload fits a frame");
    FrameHeader header;
    header.type = static_cast<uint8_t>(type);
    header.length = static_cast<uint16_t>(payload.size());
    header.stream = stream;
    const auto head = object_bytes(header);
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), payload.begin(), payload.end());
}

MutableByteView FrameReader::space() {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (buffer_.size() - begin_ < kMaxFrame) {
        // Less than one frame is left, so the move is short and rare.
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    return MutableByteView(buffer_).subspan(end_);
}

Result<std::optional<Frame>> FrameReader::next() {
    const auto header = read_object<FrameHeader>(pending());
    if (!header) return std::optional<Frame>();
    auto frame = TRY(check_header(*header));
    const size_t whole = sizeof(FrameHeader) + header->length;
    if (pending().size() < whole) return std::optional<Frame>();
    frame.payload = pending().subspan(sizeof(FrameHeader), header->length);
    begin_ += whole;
    return std::optional<Frame>(frame);
}

}  // namespace alcove::embedded
