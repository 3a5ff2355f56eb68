// SPDX-License-Identifier: Apache-2.0
//
// The frame reader with whole, cut, joined and malformed input.
#include "embedded/frame.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace alcove::embedded {
namespace {

void feed(FrameReader& reader, ByteView bytes) {
    const auto space = reader.space();
    ASSERT_LE(bytes.size(), space.size());
    std::copy(bytes.begin(), bytes.end(), space.begin());
    reader.commit(bytes.size());
}

Bytes header_bytes(uint8_t type, uint8_t zero, uint16_t length, uint32_t stream) {
    FrameHeader header;
    header.type = type;
    header.zero = zero;
    header.length = length;
    header.stream = stream;
    return to_bytes(object_bytes(header));
}

TEST(FrameReader, AFrameCutIntoSingleBytesComesOutWhole) {
    Bytes wire;
    append_frame(wire, FrameType::Data, 7, as_byte_view("hello"));
    FrameReader reader;
    for (size_t i = 0; i + 1 < wire.size(); ++i) {
        feed(reader, ByteView(wire).subspan(i, 1));
        const auto none = reader.next();
        ASSERT_TRUE(none.has_value());
        ASSERT_FALSE(none->has_value());
    }
    feed(reader, ByteView(wire).last(1));

    const auto frame = reader.next();

    ASSERT_TRUE(frame.has_value() && frame->has_value());
    EXPECT_EQ((*frame)->type, FrameType::Data);
    EXPECT_EQ((*frame)->stream, 7u);
    EXPECT_EQ(as_text((*frame)->payload), "hello");
}

TEST(FrameReader, ManyFramesInOneReadComeOutInOrder) {
    Bytes wire;
    append_frame(wire, FrameType::Open, 1, as_byte_view("exec"));
    append_frame(wire, FrameType::Shutdown, 1, {});
    append_frame(wire, FrameType::Open, 2, as_byte_view("status"));
    FrameReader reader;
    feed(reader, wire);

    std::vector<FrameType> types;
    for (auto frame = reader.next(); frame && frame->has_value(); frame = reader.next())
        types.push_back((*frame)->type);

    EXPECT_EQ(types, (std::vector{FrameType::Open, FrameType::Shutdown, FrameType::Open}));
    EXPECT_TRUE(reader.pending().empty());
}

TEST(FrameReader, TheLargestFrameFitsWhereverItBegins) {
    Bytes wire;
    append_frame(wire, FrameType::Shutdown, 1, {});
    append_frame(wire, FrameType::Data, 1, Bytes(kMaxPayload, 0xa5));
    append_frame(wire, FrameType::Data, 1, Bytes(kMaxPayload, 0x5a));
    FrameReader reader;
    size_t whole = 0;

    for (size_t at = 0; at < wire.size();) {
        const size_t count = std::min(wire.size() - at, reader.space().size());
        ASSERT_GT(count, 0u);
        feed(reader, ByteView(wire).subspan(at, count));
        at += count;
        for (auto frame = reader.next(); frame && frame->has_value(); frame = reader.next())
            ++whole;
    }

    EXPECT_EQ(whole, 3u);
}

class MalformedHeader : public testing::TestWithParam<Bytes> {};

TEST_P(MalformedHeader, IsRejectedBeforeItsPayloadIsWaitedFor) {
    FrameReader reader;
    feed(reader, GetParam());

    const auto frame = reader.next();

    ASSERT_FALSE(frame.has_value());
    EXPECT_EQ(frame.error().code(), ErrorCode::InvalidMessage);
    EXPECT_EQ(reader.pending().size(), GetParam().size()) << "the position stands at the header";
}

INSTANTIATE_TEST_SUITE_P(Headers, MalformedHeader,
                         testing::Values(header_bytes(0, 0, 0, 0), header_bytes(7, 0, 0, 1),
                                         header_bytes(255, 0, 4, 1), header_bytes(3, 1, 4, 1),
                                         header_bytes(1, 0, 0, 1), header_bytes(1, 0, kMaxTarget + 1, 1),
                                         header_bytes(2, 0, 1, 1), header_bytes(3, 0, 0, 1),
                                         header_bytes(3, 0, kMaxPayload + 1, 1), header_bytes(4, 0, 3, 1),
                                         header_bytes(4, 0, 5, 1), header_bytes(5, 0, 1, 1),
                                         header_bytes(6, 0, 1, 1), header_bytes(6, 0, kMaxReason + 3, 1)));

}  // namespace
}  // namespace alcove::embedded
