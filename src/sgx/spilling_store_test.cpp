// SPDX-License-Identifier: Apache-2.0
#include "sgx/spilling_store.hpp"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"
#include "support/system.hpp"

namespace alcove::sgx {
namespace {

constexpr uint32_t kPages = 256;
constexpr uint32_t kBudget = SpillingStore::kMinBudget;

// Translations that some other processor has: which pages it used, which it does not let go.
class FakeMappings : public PageMappings {
  public:
    FakeMappings() : accessed_(kPages), kept_(kPages) {}
    bool was_accessed(PageIndex page) override { return accessed_[number(page)].exchange(false); }
    bool unmap(PageIndex page) override {
        ++unmaps_;
        return !kept_[number(page)];
    }
    void access(uint32_t page) { accessed_[page] = true; }
    void keep(uint32_t page, bool keep) { kept_[page] = keep; }
    uint32_t unmaps() const { return unmaps_; }

  private:
    std::vector<std::atomic<bool>> accessed_;
    std::vector<std::atomic<bool>> kept_;
    std::atomic<uint32_t> unmaps_{0};
};

class Spilling : public testing::Test {
  protected:
    Spilling() : memory_(sys::memfd("epc").value()) {
        sys::truncate(memory_, kPages * kPageSize).value();
        // Sealable, to make it full.
        spill_ = sys::memfd("spill", MFD_ALLOW_SEALING).value();
        store_ = SpillingStore::create({.memory = memory_,
                                        .spill = sys::duplicate(spill_.get()).value(),
                                        .pages = kPages,
                                        .budget = kBudget,
                                        .mappings = mappings_})
                     .value();
    }

    void put(uint32_t page, uint64_t value) {
        const auto pin = store_->pin(PageIndex{page});
        ASSERT_TRUE(pin);
        pin->write(8, Le64(value));
    }
    // Nothing when it cannot be had.
    std::optional<uint64_t> get(uint32_t page) {
        const auto pin = store_->pin(PageIndex{page});
        if (!pin) return std::nullopt;
        return pin->read<Le64>(8);
    }
    ErrorCode error_of(uint32_t page) { return store_->pin(PageIndex{page}).error().code(); }
    void fill_all() {
        for (uint32_t page = 0; page < kPages; ++page)
            put(page, 1000 + page);
    }
    // One that is in the file now.
    uint32_t evicted_page() {
        for (uint32_t page = 0; page < kPages; ++page) {
            const auto whence = lseek(memory_.get(), static_cast<off_t>(page * kPageSize), SEEK_DATA);
            if (whence != static_cast<off_t>(page * kPageSize)) return page;
        }
        ADD_FAILURE() << "no page was evicted";
        return 0;
    }

    FakeMappings mappings_;
    Fd memory_;
    Fd spill_;
    std::unique_ptr<SpillingStore> store_;
};

TEST_F(Spilling, EverythingIsThereAndOnlyTheBudgetInMemory) {
    fill_all();
    for (uint32_t page = 0; page < kPages; ++page)
        EXPECT_EQ(get(page), 1000 + page);
    EXPECT_EQ(store_->occupancy().resident, kBudget);
    EXPECT_EQ(store_->occupancy().evicted, kPages - kBudget);
    EXPECT_EQ(static_cast<uint64_t>(sys::stat(memory_)->st_blocks), kBudget * kPageSize / 512);
    EXPECT_GT(store_->statistics().evictions, 0U);
    EXPECT_GT(store_->statistics().loads, 0U);
}

TEST_F(Spilling, NothingInTheFileIsReadable) {
    for (uint32_t page = 0; page < kPages; ++page) {
        const auto pin = store_->pin(PageIndex{page});
        ASSERT_TRUE(pin);
        PageBytes plain;
        plain.fill(0x41);
        pin->write(0, plain);
    }
    const uint32_t page = evicted_page();
    Bytes sealed(kPageSize);
    ASSERT_TRUE(sys::read_exact_at(spill_, sealed, page * kPageSize));
    EXPECT_LT(std::ranges::count(sealed, uint8_t{0x41}), 64);
}

TEST_F(Spilling, PagesInUseStay) {
    std::vector<PagePin> pins;
    for (uint32_t page = 0; page < kBudget; ++page)
        pins.push_back(std::move(store_->pin(PageIndex{page})).value());
    put(kBudget, 5);  // beyond the budget rather than waiting for ever
    EXPECT_EQ(store_->occupancy().resident, kBudget + 1);
    EXPECT_EQ(store_->statistics().overdrafts, 1U);
    EXPECT_EQ(store_->statistics().evictions, 0U);
    pins.clear();
    put(kBudget + 1, 6);
    EXPECT_EQ(store_->occupancy().resident, kBudget);
}

TEST_F(Spilling, PagesThatTheGuestUsesStay) {
    for (uint32_t page = 0; page < kBudget; ++page)
        put(page, page);
    for (int round = 0; round < 4; ++round)
        for (uint32_t page = kBudget; page < kPages; ++page) {
            mappings_.access(7);
            put(page, page);
        }
    EXPECT_EQ(lseek(memory_.get(), 7 * kPageSize, SEEK_DATA), static_cast<off_t>(7 * kPageSize));
}

TEST_F(Spilling, APageThatCannotBeUnmappedStays) {
    for (uint32_t page = 0; page < kBudget; ++page) {
        put(page, 50 + page);
        mappings_.keep(page, true);
    }
    put(kBudget, 1);
    EXPECT_EQ(store_->statistics().evictions, 0U);
    EXPECT_GT(mappings_.unmaps(), 0U);
    mappings_.keep(3, false);
    put(kBudget + 1, 1);
    EXPECT_GT(store_->statistics().evictions, 0U);
    EXPECT_EQ(get(3), 53U);
}

TEST_F(Spilling, DiscardedPagesAreZerosAndCostNothing) {
    fill_all();
    for (uint32_t page = 0; page < kPages; ++page)
        store_->discard(PageIndex{page});
    EXPECT_EQ(store_->occupancy().resident, 0U);
    EXPECT_EQ(store_->occupancy().evicted, 0U);
    EXPECT_EQ(sys::stat(memory_)->st_blocks, 0);
    EXPECT_EQ(get(9), 0U);
}

TEST_F(Spilling, TheBudgetChangesAtRunTime) {
    ASSERT_TRUE(store_->set_budget(kPages));
    fill_all();
    EXPECT_EQ(store_->occupancy().resident, kPages);
    ASSERT_TRUE(store_->set_budget(kBudget));
    EXPECT_EQ(store_->occupancy().resident, kBudget);
    EXPECT_EQ(store_->set_budget(kBudget - 1).error().code(), ErrorCode::InvalidArgument);
    for (uint32_t page = 0; page < kPages; ++page)
        EXPECT_EQ(get(page), 1000 + page);
}

TEST_F(Spilling, AChangedFileIsFound) {
    fill_all();
    const uint32_t page = evicted_page();
    Bytes sealed(kPageSize);
    ASSERT_TRUE(sys::read_exact_at(spill_, sealed, page * kPageSize));
    Bytes changed = sealed;
    changed[100] ^= 1;
    ASSERT_TRUE(sys::write_all_at(spill_, changed, page * kPageSize));
    EXPECT_EQ(error_of(page), ErrorCode::CryptoFailed);
    EXPECT_EQ(error_of(page), ErrorCode::CryptoFailed);  // and stays so, without half a page in memory
    ASSERT_TRUE(sys::write_all_at(spill_, sealed, page * kPageSize));
    EXPECT_EQ(get(page), 1000 + page);
}

TEST_F(Spilling, AnOlderPageIsFound) {
    fill_all();
    const uint32_t page = evicted_page();
    Bytes old(kPageSize);
    ASSERT_TRUE(sys::read_exact_at(spill_, old, page * kPageSize));
    put(page, 77);
    for (uint32_t other = 0; other < kPages; ++other)
        if (other != page) get(other);
    ASSERT_TRUE(sys::write_all_at(spill_, old, page * kPageSize));
    EXPECT_EQ(error_of(page), ErrorCode::CryptoFailed);
}

TEST_F(Spilling, AnotherPagesContentsAreFound) {
    fill_all();
    const uint32_t page = evicted_page();
    Bytes other(kPageSize);
    ASSERT_TRUE(sys::read_exact_at(spill_, other, (page + 1) * kPageSize));
    ASSERT_TRUE(sys::write_all_at(spill_, other, page * kPageSize));
    EXPECT_EQ(error_of(page), ErrorCode::CryptoFailed);
}

TEST_F(Spilling, ACutFileIsFound) {
    fill_all();
    const uint32_t page = evicted_page();
    ASSERT_TRUE(sys::truncate(spill_, page * kPageSize + 17));
    // The page that makes room for it is written first. Behind the cut, that fills the gap with zeros, which
    // no key sealed; else the file ends too early.
    EXPECT_THAT(error_of(page), testing::AnyOf(ErrorCode::CryptoFailed, ErrorCode::Truncated));
}

TEST_F(Spilling, AFullFileIsOneErrorAndLosesNothing) {
    for (uint32_t page = 0; page < kBudget; ++page)
        put(page, 1000 + page);
    ASSERT_EQ(fcntl(spill_.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
    const auto refused = store_->pin(PageIndex{kBudget});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().to_string().find("moving EPC to the spill file"), std::string::npos);
    for (uint32_t page = 0; page < kBudget; ++page)
        EXPECT_EQ(get(page), 1000 + page);
    EXPECT_EQ(store_->occupancy().resident, kBudget);
}

TEST_F(Spilling, ManyThreadsLoseNothing) {
    constexpr uint32_t kThreads = 4;
    std::vector<std::thread> threads;
    std::atomic<uint32_t> wrong{0};
    for (uint32_t thread = 0; thread < kThreads; ++thread)
        threads.emplace_back([&, thread] {
            // Each has pages of its own, which the others push out.
            std::mt19937 random(thread);
            std::vector<uint64_t> expected(kPages);
            for (uint32_t step = 0; step < 600; ++step) {
                const auto choice = static_cast<uint32_t>(random() % (kPages / kThreads));
                const uint32_t page = choice * kThreads + thread;
                const auto pin = store_->pin(PageIndex{page});
                if (!pin || pin->read<Le64>(8) != expected[page]) ++wrong;
                if (!pin) continue;
                expected[page] = random();
                pin->write(8, Le64(expected[page]));
            }
        });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_GT(store_->statistics().loads, 0U);
}

TEST(SpillingPlan, ABudgetHasALeast) {
    const Fd memory = sys::memfd("epc").value();
    FakeMappings mappings;
    EXPECT_EQ(SpillingStore::create({.memory = memory,
                                     .spill = sys::memfd("spill").value(),
                                     .pages = kPages,
                                     .budget = kBudget - 1,
                                     .mappings = mappings})
                  .error()
                  .code(),
              ErrorCode::InvalidArgument);
}

TEST_F(Spilling, ASmallerBudgetThatCannotBeHadLeavesTheFormerOne) {
    ASSERT_TRUE(store_->set_budget(2 * kBudget));
    for (uint32_t page = 0; page < 2 * kBudget; ++page)
        put(page, page);
    ASSERT_TRUE(sys::add_seals(spill_, F_SEAL_WRITE | F_SEAL_GROW));  // a disk that takes nothing

    EXPECT_FALSE(store_->set_budget(kBudget));

    EXPECT_EQ(store_->budget(), 2 * kBudget);
    EXPECT_EQ(store_->occupancy().resident, 2 * kBudget);
    EXPECT_EQ(get(5), 5U);
}

// The guest does not notice.
TEST(SpillingEngine, EnclavesRunInLessMemoryThanTheyHave) {
    Fd memory = sys::memfd("epc").value();
    sys::truncate(memory, kPages * kPageSize).value();
    FakeMappings mappings;
    FakeMachine::Options options;
    options.sections = {{memory::GuestAddress(64_GiB), kPages * kPageSize}};
    auto store = SpillingStore::create({.memory = memory,
                                        .spill = sys::memfd("spill").value(),
                                        .pages = kPages,
                                        .budget = kBudget,
                                        .mappings = mappings})
                     .value();
    const auto& watched = *store;
    options.store = std::move(store);
    FakeMachine machine(std::move(options));
    FakeCpu cpu(machine, 0);
    EnclaveMaker kernel(cpu);
    std::vector<TestEnclave> enclaves;
    for (uint32_t i = 0; i < 24; ++i)
        enclaves.push_back(TestEnclave::make(kernel, PageIndex{i * 10}, attributes::MODE64BIT,
                                             TestEnclave::kBase + i * TestEnclave::kSize));
    for (int round = 0; round < 3; ++round)
        for (const auto& enclave : enclaves) {
            ASSERT_EQ(kernel.enter(enclave.tcs()), success());
            kernel.interrupt();
            ASSERT_EQ(kernel.resume(enclave.tcs()), success());
            ASSERT_EQ(kernel.exit(), success());
        }
    EXPECT_GT(watched.statistics().loads, 20U);
    EXPECT_LE(watched.occupancy().resident, kBudget);
    EXPECT_EQ(machine.engine().find_inconsistency(), std::nullopt);
}

TEST(SpillingEngine, WhatTheGuestHoldsWithoutUseTakesNoMemory) {
    Fd memory = sys::memfd("epc").value();
    sys::truncate(memory, kPages * kPageSize).value();
    FakeMappings mappings;
    FakeMachine::Options options;
    options.sections = {{memory::GuestAddress(64_GiB), kPages * kPageSize}};
    options.store = SpillingStore::create({.memory = memory,
                                           .spill = sys::memfd("spill").value(),
                                           .pages = kPages,
                                           .budget = kPages,
                                           .mappings = mappings})
                        .value();
    FakeMachine machine(std::move(options));
    FakeCpu cpu(machine, 0);
    EnclaveMaker kernel(cpu);
    const auto enclave = TestEnclave::make(kernel);
    const auto blocks = sys::stat(memory)->st_blocks;
    constexpr uint32_t kUnits = 100;

    for (uint32_t unit = 0; unit < kUnits; ++unit) {
        ASSERT_EQ(kernel.epa(PageIndex{20 + 2 * unit}), success());
        ASSERT_EQ(kernel.ecreate(PageIndex{21 + 2 * unit}, EnclaveMaker::secs(0, 2 * kPageSize)), success());
    }

    const auto report = machine.engine().report();
    EXPECT_EQ(report.idle.bytes(), kUnits * (2 * kPageSize - kBytesOfEnclave));
    EXPECT_EQ(report.occupancy.resident + report.occupancy.evicted, TestEnclave::kPages - 1)
        << "those of the enclave, whose SECS is none";
    EXPECT_EQ(sys::stat(memory)->st_blocks, blocks);
    ASSERT_EQ(kernel.enter(enclave.tcs()), success());
    ASSERT_EQ(kernel.exit(), success());
}

}  // namespace
}  // namespace alcove::sgx
