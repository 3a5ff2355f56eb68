// SPDX-License-Identifier: Apache-2.0
#include "enclave/carved_memory.hpp"

#include <fcntl.h>

#include <gtest/gtest.h>

#include "api/limits.hpp"
#include "memory/memory_file_test.hpp"
#include "support/system.hpp"

namespace alcove::enclave {
namespace {

using memory::bytes_in_use;
using memory::content;

constexpr uint64_t kRam = 16_MiB;  // of the primary
constexpr uint64_t kPage = api::kSmallPage;

struct CarvedMemoryTest : testing::Test {
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    Fd primary = sys::memfd("primary").value();
    Bytes data = Bytes(kRam, 0x5a);
    PreparationWork work = PreparationWork::real();
    std::unique_ptr<CarvedMemory> memory;
    std::optional<Result<void>> outcome;

    CarvedMemoryTest() {
        for (size_t i = 0; i < data.size(); i += 1000)
            data[i] = static_cast<uint8_t>(1 + i / 1000 % 255);
        EXPECT_TRUE(sys::write_all_at(primary, data, 0));
    }
    void SetUp() override { make(); }

    void make() {
        memory = CarvedMemory::create(*loop, sys::duplicate(primary.get()).value(),
                                      {.bytes = 12_MiB, .page_size = api::kSmallPage}, work)
                     .value();
    }
    CarvedMemory::Done store() {
        return [this](Result<void> result) { outcome = std::move(result); };
    }
    Result<void> wait() {
        for (int i = 0; i < 1000 && !outcome; ++i)
            loop->run_once(std::chrono::milliseconds(10)).value();
        const auto result = std::exchange(outcome, std::nullopt);
        return result ? *result : Result<void>(fail(ErrorCode::Timeout, "nothing came"));
    }
    Result<void> add(const CarvedRegion& region) {
        TRY(memory->add(region, store()));
        return wait();
    }
    Result<void> give_back() {
        memory->give_back(store());
        return wait();
    }
    Bytes original(uint64_t offset, size_t length) const {
        const auto begin = data.begin() + static_cast<ptrdiff_t>(offset);
        return {begin, begin + static_cast<ptrdiff_t>(length)};
    }
};

TEST_F(CarvedMemoryTest, RegionsAreOneBehindTheOther) {
    ASSERT_TRUE(add({.parent_offset = 8_MiB, .size = 4_MiB, .enclave_offset = 0}));
    ASSERT_TRUE(add({.parent_offset = 2_MiB, .size = 2_MiB, .enclave_offset = 4_MiB}));

    EXPECT_EQ(memory->bytes(), 6_MiB);
    EXPECT_EQ(sys::file_size(memory->file()).value(), 6_MiB);
    EXPECT_EQ(content(memory->file(), 0, 4_MiB), original(8_MiB, 4_MiB));
    EXPECT_EQ(content(memory->file(), 4_MiB, 2_MiB), original(2_MiB, 2_MiB));
    EXPECT_EQ(bytes_in_use(primary), 10_MiB);
    EXPECT_EQ(bytes_in_use(memory->file()), 6_MiB);
}

TEST_F(CarvedMemoryTest, WhatIsNoRegionIsRefused) {
    ASSERT_TRUE(add({.parent_offset = 4_MiB, .size = 2_MiB, .enclave_offset = 0}));
    const CarvedRegion wrong[] = {
        {.parent_offset = 0, .size = 0, .enclave_offset = 2_MiB},
        {.parent_offset = 0, .size = kPage / 2, .enclave_offset = 2_MiB},
        {.parent_offset = 1, .size = kPage, .enclave_offset = 2_MiB},
        {.parent_offset = 0, .size = kPage, .enclave_offset = 0},
        {.parent_offset = 0, .size = kPage, .enclave_offset = 3_MiB},
        {.parent_offset = kRam, .size = kPage, .enclave_offset = 2_MiB},
        {.parent_offset = kRam - kPage, .size = 2 * kPage, .enclave_offset = 2_MiB},
        {.parent_offset = ~uint64_t{0} - kPage + 1, .size = 2 * kPage, .enclave_offset = 2_MiB},
        {.parent_offset = kPage, .size = ~uint64_t{0} - kPage + 1, .enclave_offset = 2_MiB},
        {.parent_offset = 0, .size = 11_MiB, .enclave_offset = 2_MiB},
        {.parent_offset = 5_MiB, .size = 2_MiB, .enclave_offset = 2_MiB},
        {.parent_offset = 3_MiB, .size = 2_MiB, .enclave_offset = 2_MiB},
    };
    for (size_t i = 0; i < std::size(wrong); ++i) {
        const auto added = memory->add(wrong[i], store());

        ASSERT_FALSE(added) << i;
        EXPECT_EQ(added.error().code(), ErrorCode::InvalidArgument) << i;
    }
    EXPECT_FALSE(memory->is_busy());
    EXPECT_EQ(bytes_in_use(primary), kRam - 2_MiB);
}

TEST_F(CarvedMemoryTest, OnePieceOfWorkAtATime) {
    const CarvedRegion first{.parent_offset = 0, .size = 2_MiB, .enclave_offset = 0};
    ASSERT_TRUE(memory->add(first, store()));

    EXPECT_TRUE(memory->is_adding(first));
    EXPECT_EQ(
        memory->add({.parent_offset = 2_MiB, .size = 2_MiB, .enclave_offset = 2_MiB}, store()).error().code(),
        ErrorCode::Busy);

    ASSERT_TRUE(wait());
    EXPECT_FALSE(memory->is_busy());
    EXPECT_TRUE(memory->has_last(first));
}

TEST_F(CarvedMemoryTest, ARegionThatDoesNotComeIsNotThere) {
    work.move_region = [](memory::FilePart, memory::FilePart, uint64_t, memory::MoveSizes,
                          memory::MoveCounters&) -> Result<void> {
        return fail(ErrorCode::OutOfMemory, "no memory");
    };
    make();
    const CarvedRegion region{.parent_offset = 0, .size = 2_MiB, .enclave_offset = 0};

    EXPECT_EQ(add(region).error().code(), ErrorCode::OutOfMemory);

    EXPECT_EQ(memory->bytes(), 0U);
    EXPECT_FALSE(memory->has_last(region));
    EXPECT_EQ(add(region).error().code(), ErrorCode::OutOfMemory) << "it can be asked for again";
}

TEST_F(CarvedMemoryTest, ARegionThatIsLostIsGivenBackWithTheOthers) {
    work.move_region = [](memory::FilePart from, memory::FilePart, uint64_t length, memory::MoveSizes,
                          memory::MoveCounters&) -> Result<void> {
        TRY(memory::release_pages(from, length));
        return fail(ErrorCode::MemoryLost, "neither here nor there");
    };
    make();
    EXPECT_EQ(add({.parent_offset = 0, .size = 2_MiB, .enclave_offset = 0}).error().code(),
              ErrorCode::MemoryLost);
    EXPECT_EQ(bytes_in_use(primary), kRam - 2_MiB);

    ASSERT_TRUE(give_back());

    EXPECT_EQ(bytes_in_use(primary), kRam);
}

TEST_F(CarvedMemoryTest, WhatThePrimaryWroteIsGoneWhenItIsCleared) {
    ASSERT_TRUE(add({.parent_offset = 0, .size = 6_MiB, .enclave_offset = 0}));

    memory->clear({}, store());
    ASSERT_TRUE(wait());

    EXPECT_EQ(content(memory->file(), 0, 6_MiB), Bytes(6_MiB, 0));
    EXPECT_EQ(bytes_in_use(memory->file()), 6_MiB) << "every page is there";
    EXPECT_EQ(::fcntl(memory->file().get(), F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

TEST_F(CarvedMemoryTest, WhatIsLeftOutComesWhenItIsCompleted) {
    ASSERT_TRUE(add({.parent_offset = 0, .size = 12_MiB, .enclave_offset = 0}));

    memory->clear({.offset = 3_MiB, .length = 5_MiB}, store());
    ASSERT_TRUE(wait());
    EXPECT_EQ(bytes_in_use(memory->file()), 7_MiB);
    EXPECT_EQ(content(memory->file(), 0, 12_MiB), Bytes(12_MiB, 0));
    ASSERT_TRUE(sys::write_all_at(memory->file(), as_byte_view("the guest's"), 4_MiB));

    memory->complete(store());
    ASSERT_TRUE(wait());
    EXPECT_EQ(bytes_in_use(memory->file()), 12_MiB);
    EXPECT_EQ(as_text(content(memory->file(), 4_MiB, 11)), "the guest's") << "what came by itself stays";
    ASSERT_TRUE(give_back());
    EXPECT_EQ(bytes_in_use(primary), kRam);
}

TEST_F(CarvedMemoryTest, ClearingAndCompletingEndWhenNobodyNeedsThem) {
    ASSERT_TRUE(add({.parent_offset = 0, .size = 6_MiB, .enclave_offset = 0}));
    memory->cancel();

    memory->clear({.offset = 4_MiB, .length = 2_MiB}, store());
    EXPECT_EQ(wait().error().code(), ErrorCode::Cancelled);
    memory->complete(store());
    EXPECT_EQ(wait().error().code(), ErrorCode::Cancelled);

    EXPECT_TRUE(give_back());
    EXPECT_EQ(bytes_in_use(primary), kRam);
}

TEST_F(CarvedMemoryTest, WhatIsGivenBackIsZeroAndHeldByNobody) {
    ASSERT_TRUE(add({.parent_offset = 8_MiB, .size = 4_MiB, .enclave_offset = 0}));
    ASSERT_TRUE(add({.parent_offset = 2_MiB, .size = 2_MiB, .enclave_offset = 4_MiB}));
    const Fd file = sys::duplicate(memory->file().get()).value();
    ASSERT_TRUE(sys::write_all_at(file, as_byte_view("a secret"), 5_MiB));

    ASSERT_TRUE(give_back());

    EXPECT_TRUE(memory->is_given_back());
    EXPECT_EQ(content(primary, 8_MiB, 4_MiB), Bytes(4_MiB, 0));
    EXPECT_EQ(content(primary, 2_MiB, 2_MiB), Bytes(2_MiB, 0));
    EXPECT_EQ(content(primary, 0, 2_MiB), original(0, 2_MiB));
    EXPECT_EQ(bytes_in_use(primary), kRam);
    EXPECT_EQ(bytes_in_use(file), 0U);
    EXPECT_FALSE(memory->file().is_open());
    EXPECT_EQ(
        memory->add({.parent_offset = 0, .size = 2_MiB, .enclave_offset = 6_MiB}, store()).error().code(),
        ErrorCode::InvalidArgument);
}

TEST_F(CarvedMemoryTest, EachByteIsCopiedOnceThereAndClearedOnceForEachNewOwner) {
    ASSERT_TRUE(add({.parent_offset = 0, .size = 6_MiB, .enclave_offset = 0}));
    ASSERT_TRUE(add({.parent_offset = 8_MiB, .size = 6_MiB, .enclave_offset = 6_MiB}));
    memory->clear({.offset = 3_MiB, .length = 5_MiB}, store());
    ASSERT_TRUE(wait());
    memory->complete(store());
    ASSERT_TRUE(wait());
    ASSERT_TRUE(give_back());

    const auto& counters = memory->counters();
    EXPECT_EQ(counters.added.bytes_copied, 12_MiB);
    EXPECT_EQ(counters.added.bytes_cleared, 0U);
    EXPECT_EQ(counters.started.bytes_copied, 0U);
    EXPECT_EQ(counters.started.bytes_cleared, 12_MiB);
    EXPECT_EQ(counters.returned.bytes_copied, 0U);
    EXPECT_EQ(counters.returned.bytes_cleared, 12_MiB);
}

TEST_F(CarvedMemoryTest, AHostWithoutPagesGetsAllOfTheEnclavesFirstAndIsAskedAgain) {
    int refusals = 3;
    work.return_region = [&](memory::FilePart from, memory::FilePart to, uint64_t length,
                             memory::MoveSizes sizes, memory::MoveCounters& counters) -> Result<void> {
        if (refusals > 0) {
            --refusals;
            return fail(ErrorCode::OutOfMemory, "no memory");
        }
        return memory::return_region(from, to, length, sizes, counters);
    };
    make();
    ASSERT_TRUE(add({.parent_offset = 0, .size = 2_MiB, .enclave_offset = 0}));
    ASSERT_TRUE(add({.parent_offset = 4_MiB, .size = 2_MiB, .enclave_offset = 2_MiB}));

    EXPECT_EQ(give_back().error().code(), ErrorCode::OutOfMemory);
    EXPECT_EQ(bytes_in_use(memory->file()), 0U);
    EXPECT_EQ(bytes_in_use(primary), kRam - 4_MiB);
    ASSERT_TRUE(give_back()) << "refused once, then tried again";

    EXPECT_EQ(bytes_in_use(primary), kRam);
}

TEST_F(CarvedMemoryTest, ItsEndWaitsForTheWorkAndCallsNobody) {
    ASSERT_TRUE(memory->add({.parent_offset = 0, .size = 12_MiB, .enclave_offset = 0}, store()));

    memory.reset();
    loop->run_once(std::chrono::milliseconds(0)).value();

    EXPECT_FALSE(outcome);
    EXPECT_EQ(bytes_in_use(primary), kRam - 12_MiB);
}

}  // namespace
}  // namespace alcove::enclave
