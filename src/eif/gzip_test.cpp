// SPDX-License-Identifier: Apache-2.0
#include "eif/gzip.hpp"

#include <zlib.h>

#include <gtest/gtest.h>

namespace alcove::eif {
namespace {

Bytes compress(const std::vector<Bytes>& pieces, int level = 6) {
    Bytes packed;
    auto writer = GzipWriter::create(level, [&](ByteView piece) -> Result<void> {
                      packed.insert(packed.end(), piece.begin(), piece.end());
                      return {};
                  }).value();
    for (const Bytes& piece : pieces)
        writer.write(piece).value();
    writer.finish().value();
    return packed;
}

Bytes decompress(const Bytes& packed, size_t size) {
    Bytes data(size + 1);
    z_stream stream{};
    EXPECT_EQ(::inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = const_cast<Bytef*>(packed.data());
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = data.data();
    stream.avail_out = static_cast<uInt>(data.size());
    EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
    data.resize(stream.total_out);
    ::inflateEnd(&stream);
    return data;
}

Bytes noise(size_t size) {
    Bytes bytes(size);
    uint32_t state = 1;
    for (uint8_t& byte : bytes) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<uint8_t>(state >> 24);
    }
    return bytes;
}

TEST(GzipTest, WhatIsPackedComesBack) {
    for (const Bytes& data : {Bytes{}, Bytes(10, 'a'), Bytes(5'000'000, 'a'), noise(1'500'000)})
        for (const int level : {1, 9})
            EXPECT_EQ(decompress(compress({data}, level), data.size()), data);
}

TEST(GzipTest, PiecesDoNotShow) {
    const Bytes data = noise(100'000);
    const Bytes first(data.begin(), data.begin() + 12345);
    const Bytes second(data.begin() + 12345, data.end());
    EXPECT_EQ(compress({data}), compress({first, {}, second}));
}

TEST(GzipTest, TheHeaderHasNoTimeAndNoName) {
    const Bytes packed = compress({Bytes(100, 'a')});
    EXPECT_EQ(Bytes(packed.begin(), packed.begin() + 8), (Bytes{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}));
}

TEST(GzipTest, LevelsOutsideOfZlibsAreRefused) {
    for (const int level : {-1, 0, 10})
        EXPECT_FALSE(GzipWriter::create(level, [](ByteView) -> Result<void> { return {}; }));
}

TEST(GzipTest, AnErrorOfTheSinkIsPassedOn) {
    auto writer = GzipWriter::create(1, [](ByteView) -> Result<void> {
                      return fail(ErrorCode::NoSpace, "full");
                  }).value();
    const auto written = writer.write(noise(1'000'000));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code(), ErrorCode::NoSpace);
}

}  // namespace
}  // namespace alcove::eif
