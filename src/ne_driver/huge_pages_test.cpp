// SPDX-License-Identifier: Apache-2.0
#include "ne_driver/huge_pages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ne_driver/driver_fake.hpp"

namespace alcove::ne_driver {
namespace {

using testing::ElementsAre;

std::vector<uint64_t> sizes_of(const std::vector<HugePage>& pages) {
    std::vector<uint64_t> sizes;
    for (const auto& page : pages)
        sizes.push_back(page.size());
    return sizes;
}

TEST(HugePages, TheLargestComeFirst) {
    FakePages source({{1_GiB, 2}, {32_MiB, 1}, {2_MiB, 8}});

    const auto pages = take_pages(source, 1_GiB + 36_MiB);

    ASSERT_TRUE(pages);
    EXPECT_THAT(sizes_of(*pages), ElementsAre(1_GiB, 32_MiB, 2_MiB, 2_MiB));
}

TEST(HugePages, WhatDoesNotFitIsRoundedUpToTheSmallestPage) {
    FakePages source({{2_MiB, 8}});

    const auto pages = take_pages(source, 3_MiB);

    ASSERT_TRUE(pages);
    EXPECT_THAT(sizes_of(*pages), ElementsAre(2_MiB, 2_MiB));
}

TEST(HugePages, ALargePageMakesSmallerOnesNeedless) {
    FakePages source({{1_GiB, 1}, {2_MiB, 2}});

    const auto pages = take_pages(source, 512_MiB);

    ASSERT_TRUE(pages);
    EXPECT_THAT(sizes_of(*pages), ElementsAre(1_GiB));
}

TEST(HugePages, WhatIsMissingIsSaid) {
    FakePages source({{2_MiB, 30}});

    const auto pages = take_pages(source, 64_MiB);

    ASSERT_FALSE(pages);
    EXPECT_EQ(pages.error().code(), ErrorCode::NoHugePages);
    EXPECT_EQ(pages.error().message(), "4 MiB of 64 MiB are missing");
}

TEST(HugePages, AMachineWithoutPagesOfASizeHasNone) {
    HugePagePool pool;

    EXPECT_FALSE(pool.take(512_MiB));  // x86-64 knows no such size
}

}  // namespace
}  // namespace alcove::ne_driver
