// SPDX-License-Identifier: Apache-2.0
#include "ne/carved_map.hpp"

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::ne {
namespace {

using memory::GuestAddress;
using memory::GuestRange;

GuestRange mib(uint64_t base, uint64_t size) {
    return {GuestAddress(base << 20), size << 20};
}

TEST(CarvedMap, AnOverlapIsSeenFromEverySide) {
    CarvedMap map({mib(0, 64)});
    map.add(mib(16, 8), SlotUid{1});

    for (const auto& range : {mib(16, 8), mib(14, 4), mib(22, 4), mib(18, 2), mib(0, 64), mib(16, 2)})
        EXPECT_TRUE(map.overlaps(range)) << (range.base.value() >> 20);
    for (const auto& range : {mib(0, 16), mib(24, 8), mib(14, 2)})
        EXPECT_FALSE(map.overlaps(range)) << (range.base.value() >> 20);
}

TEST(CarvedMap, EveryByteHasTheOwnerOfItsRegion) {
    CarvedMap map({mib(0, 64)});
    map.add(mib(16, 8), SlotUid{1});
    map.add(mib(24, 2), SlotUid{2});

    EXPECT_EQ(map.owner(GuestAddress(16_MiB - 1)), std::nullopt);
    EXPECT_EQ(map.owner(GuestAddress(16_MiB)), SlotUid{1});
    EXPECT_EQ(map.owner(GuestAddress(24_MiB - 1)), SlotUid{1});
    EXPECT_EQ(map.owner(GuestAddress(24_MiB)), SlotUid{2});
    EXPECT_EQ(map.owner(GuestAddress(26_MiB)), std::nullopt);
    EXPECT_EQ(map.carved_bytes(), 10_MiB);
}

TEST(CarvedMap, RegionsAreListedByOwner) {
    CarvedMap map({mib(0, 64)});
    map.add(mib(24, 2), SlotUid{1});
    map.add(mib(16, 8), SlotUid{2});
    map.add(mib(4, 2), SlotUid{1});

    EXPECT_EQ(map.regions_of(SlotUid{1}), (std::vector{mib(4, 2), mib(24, 2)}));
    EXPECT_TRUE(map.regions_of(SlotUid{3}).empty());
    EXPECT_EQ(map.all_regions(), (std::vector{mib(4, 2), mib(16, 8), mib(24, 2)}));
    map.remove(mib(24, 2));
    EXPECT_EQ(map.regions_of(SlotUid{1}), (std::vector{mib(4, 2)}));
}

TEST(CarvedMap, AStretchIsWhatLiesTogetherAndHasOneOwner) {
    CarvedMap map({mib(0, 16), mib(4096, 16)});
    EXPECT_EQ(map.stretches(), 2U);

    map.add(mib(4, 2), SlotUid{1});  // in the middle
    EXPECT_EQ(map.stretches(), 4U);
    map.add(mib(6, 2), SlotUid{1});  // beside it, the same owner
    EXPECT_EQ(map.stretches(), 4U);
    map.add(mib(8, 2), SlotUid{2});  // another
    EXPECT_EQ(map.stretches(), 5U);
    map.add(mib(0, 2), SlotUid{1});  // at the end of RAM
    EXPECT_EQ(map.stretches(), 6U);
    map.add(mib(2, 2), SlotUid{1});  // fills a gap
    EXPECT_EQ(map.stretches(), 4U);
    map.add(mib(4096, 16), SlotUid{1});  // a whole range
    EXPECT_EQ(map.stretches(), 4U);
}

TEST(CarvedMap, RemovingCountsBack) {
    CarvedMap map({mib(0, 16)});
    for (const uint64_t base : {4U, 8U, 6U, 14U})
        map.add(mib(base, 2), SlotUid{1});
    EXPECT_EQ(map.stretches(), 4U);

    map.remove(mib(6, 2));
    EXPECT_EQ(map.stretches(), 6U);
    for (const uint64_t base : {14U, 4U, 8U})
        map.remove(mib(base, 2));

    EXPECT_EQ(map.stretches(), 1U);
    EXPECT_EQ(map.carved_bytes(), 0U);
    EXPECT_FALSE(map.overlaps(mib(0, 16)));
}

// Two owners that take turns leave the primary nothing, until one of them is freed.
TEST(CarvedMap, ThePiecesThatFreeingWillMakeAreCountedBefore) {
    CarvedMap map({mib(0, 16)});
    for (uint64_t base = 0; base < 16; base += 4) {
        map.add(mib(base, 2), SlotUid{1});
        map.add(mib(base + 2, 2), SlotUid{2});
    }
    EXPECT_EQ(map.stretches(), 8U);
    EXPECT_EQ(map.most_pieces(), 4U);

    for (uint64_t base = 0; base < 16; base += 4)
        map.remove(mib(base + 2, 2));

    EXPECT_EQ(map.stretches(), 8U);
    EXPECT_EQ(map.most_pieces(), 4U);
}

TEST(CarvedMap, MostPiecesIsExactForOneOwner) {
    CarvedMap map({mib(0, 16), mib(4096, 16)});
    EXPECT_EQ(map.most_pieces(), 2U);
    EXPECT_EQ(map.most_pieces_with(mib(4, 2), SlotUid{1}), 3U);
    EXPECT_EQ(map.most_pieces_with(mib(0, 2), SlotUid{1}), 2U);
    map.add(mib(4, 2), SlotUid{1});
    EXPECT_EQ(map.most_pieces(), 3U);
}

}  // namespace
}  // namespace alcove::ne
