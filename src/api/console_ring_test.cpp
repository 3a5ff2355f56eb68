// SPDX-License-Identifier: Apache-2.0
#include "api/console_ring.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::api {
namespace {

// Bytes of a stream whose content is known at each position.
Bytes pattern(uint64_t from, size_t count) {
    Bytes bytes(count);
    for (size_t i = 0; i < count; ++i)
        bytes[i] = static_cast<uint8_t>((from + i) * 2654435761U >> 13);
    return bytes;
}

void overwrite(const Fd& ring, uint64_t offset, uint64_t value) {
    ASSERT_TRUE(sys::write_all_at(ring, object_bytes(value), offset));
}

TEST(ConsoleRing, ReplaysThenFollows) {
    const auto ring = make_console_ring().value();
    auto writer = ConsoleRingWriter::open(ring).value();
    writer.write(as_byte_view("booting\n"));

    auto reader = ConsoleRingReader::open(ring).value();
    const auto replayed = reader.read();
    const auto nothing = reader.read();
    writer.write(as_byte_view("up\n"));
    const auto followed = reader.read();

    EXPECT_EQ(as_text(replayed.data), "booting\n");
    EXPECT_TRUE(nothing.data.empty());
    EXPECT_EQ(as_text(followed.data), "up\n");
    EXPECT_EQ(followed.skipped, 0U);
}

TEST(ConsoleRing, ASecondWriterGoesOnBehindTheFirst) {
    const auto ring = make_console_ring().value();
    ConsoleRingWriter::open(ring).value().write(as_byte_view("first life\n"));
    auto reader = ConsoleRingReader::open(ring).value();
    (void)reader.read();

    ConsoleRingWriter::open(ring).value().write(as_byte_view("second life\n"));

    EXPECT_EQ(as_text(reader.read().data), "second life\n");
    EXPECT_EQ(as_text(ConsoleRingReader::open(ring).value().read().data), "first life\nsecond life\n");
}

TEST(ConsoleRing, ALateReaderGetsTheNewestAndLearnsWhatIsLost) {
    const auto ring = make_console_ring().value();
    auto writer = ConsoleRingWriter::open(ring).value();
    const uint64_t total = 3 * kConsoleDataBytes + 1000;
    writer.write(pattern(0, total));

    auto reader = ConsoleRingReader::open(ring).value();
    const auto piece = reader.read();

    EXPECT_EQ(piece.skipped, total - kConsoleDataBytes);
    EXPECT_EQ(piece.data, pattern(total - kConsoleDataBytes, kConsoleDataBytes));
}

TEST(ConsoleRing, AWriterCanOpenItOnlyAsWhatItIs) {
    const auto other = sys::memfd("other").value();
    ASSERT_TRUE(sys::truncate(other, kConsoleRingBytes));

    EXPECT_EQ(ConsoleRingWriter::open(other).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(ConsoleRingReader::open(sys::memfd("small").value()).error().code(),
              ErrorCode::InvalidArgument);
}

TEST(ConsoleRing, ItsSizeCanNotBeChanged) {
    const auto ring = make_console_ring().value();

    EXPECT_FALSE(sys::truncate(ring, 0));
    EXPECT_FALSE(sys::truncate(ring, 2 * kConsoleRingBytes));
}

TEST(ConsoleRing, CountersOfAHostileWriterReadNothingOutside) {
    for (const uint64_t written : {uint64_t{1}, kConsoleDataBytes - 1, kConsoleDataBytes + 5, ~uint64_t{0}}) {
        for (const uint64_t claimed : {uint64_t{0}, uint64_t{1}, written, written + 17, ~uint64_t{0}}) {
            const auto ring = make_console_ring().value();
            overwrite(ring, 128, written);
            overwrite(ring, 64, claimed);
            auto reader = ConsoleRingReader::open(ring).value();

            const auto piece = reader.read();

            EXPECT_LE(piece.data.size(), kConsoleDataBytes);
            EXPECT_EQ(piece.data.size() + piece.skipped, written);
        }
    }
}

TEST(ConsoleRing, AWriterThatLapsAReaderDuringItsCopyLeavesNothingToTrust) {
    const auto ring = make_console_ring().value();
    overwrite(ring, 128, kConsoleDataBytes);
    overwrite(ring, 64, 3 * kConsoleDataBytes);
    auto reader = ConsoleRingReader::open(ring).value();

    const auto piece = reader.read();

    EXPECT_TRUE(piece.data.empty());
    EXPECT_EQ(piece.skipped, kConsoleDataBytes);
}

TEST(ConsoleRing, AWriterThatCountsBackwardsIsIgnored) {
    const auto ring = make_console_ring().value();
    auto writer = ConsoleRingWriter::open(ring).value();
    auto reader = ConsoleRingReader::open(ring).value();
    writer.write(pattern(0, 100));
    reader.read();

    overwrite(ring, 128, 3);

    EXPECT_TRUE(reader.read().data.empty());
}

TEST(ConsoleRing, ABusyWriterNeverMakesAReaderSeeTornData) {
    const auto ring = make_console_ring().value();
    auto reader = ConsoleRingReader::open(ring).value();
    constexpr uint64_t kTotal = 40 * kConsoleDataBytes;
    std::thread producer([&ring] {
        auto writer = ConsoleRingWriter::open(ring).value();
        for (uint64_t at = 0; at < kTotal; at += 777)
            writer.write(pattern(at, std::min<uint64_t>(777, kTotal - at)));
    });

    uint64_t position = 0;
    bool intact = true;
    while (position < kTotal) {
        const auto piece = reader.read();
        position += piece.skipped;
        intact = intact && piece.data == pattern(position, piece.data.size());
        position += piece.data.size();
    }
    producer.join();

    EXPECT_TRUE(intact);
}

}  // namespace
}  // namespace alcove::api
