// SPDX-License-Identifier: Apache-2.0
#include "memory/guest_memory.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "memory/guest_io.hpp"
#include "support/bits.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::memory {
namespace {

// Two regions with a hole between them, as RAM around the gap below 4 GiB.
std::shared_ptr<GuestMemory> make_memory() {
    auto file = sys::memfd("ram").value();
    EXPECT_TRUE(sys::truncate(file, 8_KiB));
    const GuestMemory::Region regions[] = {
        {.range = {GuestAddress(0), 4_KiB}, .file_offset = 0},
        {.range = {GuestAddress(16_KiB), 4_KiB}, .file_offset = 4_KiB},
    };
    return GuestMemory::create(file, regions).value();
}

TEST(GuestMemory, ValuesComeBackFromEitherRegion) {
    const auto memory = make_memory();

    ASSERT_TRUE(memory->write<Le32>(GuestAddress(8), 0x12345678));
    ASSERT_TRUE(memory->write<Le32>(GuestAddress(20_KiB - 4), 0xabcdef01));

    EXPECT_EQ(memory->read<Le32>(GuestAddress(8)).value(), 0x12345678U);
    EXPECT_EQ(memory->read<Le32>(GuestAddress(20_KiB - 4)).value(), 0xabcdef01U);
    EXPECT_EQ(memory->total_size(), 8_KiB);
}

TEST(GuestMemory, AccessOutsideRamIsAnError) {
    const auto memory = make_memory();
    const uint64_t addresses[] = {4_KiB - 3, 4_KiB, 16_KiB - 1, 20_KiB - 3, ~uint64_t{0}, ~uint64_t{0} - 2};

    for (const uint64_t address : addresses) {
        const auto result = memory->read<Le32>(GuestAddress(address));
        ASSERT_FALSE(result) << address;
        EXPECT_EQ(result.error().code(), ErrorCode::GuestAddressInvalid);
        EXPECT_FALSE(memory->write<Le32>(GuestAddress(address), 1)) << address;
        EXPECT_FALSE(memory->slice(GuestAddress(address), 4)) << address;
    }
    EXPECT_FALSE(memory->slice(GuestAddress(0), ~uint64_t{0}));
}

TEST(GuestMemory, RingIndicesMustBeAligned) {
    const auto memory = make_memory();

    ASSERT_TRUE(memory->store_release_u16(GuestAddress(2), 77));

    EXPECT_EQ(memory->load_acquire_u16(GuestAddress(2)).value(), 77);
    EXPECT_FALSE(memory->load_acquire_u16(GuestAddress(3)));
    EXPECT_FALSE(memory->store_release_u16(GuestAddress(4_KiB - 1), 1));
}

TEST(GuestMemory, SlicesMoveBetweenSocketAndGuest) {
    const auto memory = make_memory();
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    ASSERT_TRUE(memory->write_bytes(GuestAddress(100), as_byte_view("hello ")));
    ASSERT_TRUE(memory->write_bytes(GuestAddress(16_KiB), as_byte_view("world")));
    const GuestSlice out[] = {memory->slice(GuestAddress(100), 6).value(),
                              memory->slice(GuestAddress(16_KiB), 5).value()};
    const GuestSlice in[] = {memory->slice(GuestAddress(200), 4).value(),
                             memory->slice(GuestAddress(300), 100).value()};

    EXPECT_EQ(send_from(pair.first, out).value().bytes, 11U);
    EXPECT_EQ(read_into(pair.second, in).value().bytes, 11U);

    Bytes text(7);
    ASSERT_TRUE(memory->read_bytes(GuestAddress(300), text));
    EXPECT_EQ(as_text(text), "o world");
}

TEST(GuestMemory, AClosedPeerIsAnErrorNotASignal) {
    const auto memory = make_memory();
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    pair.second.reset();
    const GuestSlice out[] = {memory->slice(GuestAddress(0), 1).value()};

    EXPECT_EQ(send_from(pair.first, out).error().code(), ErrorCode::ConnectionLost);
}

TEST(GuestMemory, FencedMemoryIsNoRam) {
    const auto memory = make_memory();
    const GuestRange range{GuestAddress(16_KiB), 4_KiB};
    ASSERT_TRUE(memory->write<Le32>(GuestAddress(16_KiB), 7));

    ASSERT_TRUE(memory->fence(range));
    EXPECT_EQ(memory->read<Le32>(GuestAddress(16_KiB)).error().code(), ErrorCode::GuestAddressInvalid);
    EXPECT_FALSE(memory->write<Le32>(GuestAddress(20_KiB - 4), 1));
    EXPECT_FALSE(memory->slice(GuestAddress(16_KiB), 1));
    EXPECT_FALSE(memory->load_acquire_u16(GuestAddress(16_KiB)));
    EXPECT_FALSE(memory->is_ram(range));
    EXPECT_TRUE(memory->read<Le32>(GuestAddress(0)));

    ASSERT_TRUE(memory->unfence(range));
    EXPECT_EQ(memory->read<Le32>(GuestAddress(16_KiB)).value(), 7U);
}

TEST(GuestMemory, SlicesFromBeforeAFenceReadOnesAndTakeNothing) {
    const auto memory = make_memory();
    const GuestRange range{GuestAddress(16_KiB), 4_KiB};
    ASSERT_TRUE(memory->write<Le32>(GuestAddress(16_KiB), 7));
    const auto slice = memory->slice(GuestAddress(16_KiB), 4).value();
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    ASSERT_TRUE(memory->fence(range));

    Bytes copy(4);
    GuestMemory::copy_out(slice, copy);
    memory->copy_in(slice, Bytes{1, 2, 3, 4});
    EXPECT_EQ(copy, (Bytes{0xff, 0xff, 0xff, 0xff}));
    EXPECT_FALSE(send_from(pair.first, std::span(&slice, 1)));

    ASSERT_TRUE(memory->unfence(range));
    EXPECT_EQ(memory->read<Le32>(GuestAddress(16_KiB)).value(), 7U);
}

}  // namespace
}  // namespace alcove::memory
