// SPDX-License-Identifier: Apache-2.0
#include "machine/memory_slots.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::machine {
namespace {

using memory::GuestAddress;
using memory::GuestRange;

constexpr uint64_t kHost = 0x7f0000000000;

// KVM's side: slots by number, which must not overlap.
class FakeKvm {
  public:
    MemorySlots::Setter setter() {
        return [this](const kvm::MemorySlot& slot) { return set(slot); };
    }
    Result<void> set(const kvm::MemorySlot& slot) {
        ++calls_;
        if (slot.size == 0) {
            EXPECT_EQ(slots_.erase(slot.slot), 1U);
            return {};
        }
        if (fail_adds_) return fail(ErrorCode::KvmRefused, "no memory");
        EXPECT_FALSE(slots_.contains(slot.slot));
        for (const auto& [number, other] : slots_)
            EXPECT_FALSE(slot.guest_address < other.guest_address + other.size &&
                         other.guest_address < slot.guest_address + slot.size);
        slots_.emplace(slot.slot, slot);
        return {};
    }
    size_t take_calls() { return std::exchange(calls_, 0); }
    size_t count() const { return slots_.size(); }
    void fail_adds(bool on) { fail_adds_ = on; }
    // The host address behind a guest one; 0 when there is none.
    uint64_t behind(uint64_t address) const {
        for (const auto& [number, slot] : slots_)
            if (address >= slot.guest_address && address - slot.guest_address < slot.size)
                return slot.host_address + (address - slot.guest_address);
        return 0;
    }
    uint32_t highest_number() const { return slots_.rbegin()->first; }

  private:
    std::map<uint32_t, kvm::MemorySlot> slots_;
    size_t calls_ = 0;
    bool fail_adds_ = false;
};

std::vector<memory::GuestMemory::MappedRegion> two_regions() {
    return {{.region = {.range = {GuestAddress(0), 16_MiB}, .file_offset = 0}, .host_address = kHost},
            {.region = {.range = {GuestAddress(4_GiB), 5_MiB}, .file_offset = 16_MiB},
             .host_address = kHost + 1_GiB}};
}

MemorySlots make(FakeKvm& kvm) {
    return MemorySlots::create(kvm.setter(), two_regions(), 4_MiB, 3).value();
}

GuestRange guest_range(uint64_t base, uint64_t size) {
    return {GuestAddress(base), size};
}

TEST(MemorySlots, RamIsCutIntoBlocks) {
    FakeKvm kvm;
    const auto slots = make(kvm);

    EXPECT_EQ(slots.present(), (std::vector{guest_range(0, 4_MiB), guest_range(4_MiB, 4_MiB),
                                            guest_range(8_MiB, 4_MiB), guest_range(12_MiB, 4_MiB),
                                            guest_range(4_GiB, 4_MiB), guest_range(4_GiB + 4_MiB, 1_MiB)}));
    EXPECT_EQ(kvm.behind(12_MiB + 5), kHost + 12_MiB + 5);
    EXPECT_EQ(kvm.behind(4_GiB + 5_MiB - 1), kHost + 1_GiB + 5_MiB - 1);
    EXPECT_EQ(kvm.behind(16_MiB), 0U);
}

TEST(MemorySlots, AWholeBlockIsOneCallEachWay) {
    FakeKvm kvm;
    auto slots = make(kvm);
    kvm.take_calls();

    ASSERT_TRUE(slots.remove(guest_range(4_MiB, 4_MiB)));
    EXPECT_EQ(kvm.take_calls(), 1U);
    EXPECT_EQ(kvm.behind(4_MiB), 0U);
    EXPECT_EQ(kvm.behind(8_MiB - 1), 0U);
    EXPECT_NE(kvm.behind(8_MiB), 0U);

    ASSERT_TRUE(slots.restore(guest_range(4_MiB, 4_MiB)));
    EXPECT_EQ(kvm.take_calls(), 1U);
    EXPECT_EQ(kvm.behind(4_MiB), kHost + 4_MiB);
}

TEST(MemorySlots, APartOfABlockLeavesItsRest) {
    FakeKvm kvm;
    auto slots = make(kvm);

    ASSERT_TRUE(slots.remove(guest_range(5_MiB, 2_MiB)));

    EXPECT_EQ(kvm.behind(5_MiB - 1), kHost + 5_MiB - 1);
    EXPECT_EQ(kvm.behind(5_MiB), 0U);
    EXPECT_EQ(kvm.behind(7_MiB), kHost + 7_MiB);
}

TEST(MemorySlots, WhatIsGivenBackGrowsTogetherAgain) {
    FakeKvm kvm;
    auto slots = make(kvm);
    const auto before = slots.present();
    ASSERT_TRUE(slots.remove(guest_range(1_MiB, 6_MiB)));

    ASSERT_TRUE(slots.restore(guest_range(3_MiB, 2_MiB)));
    ASSERT_TRUE(slots.restore(guest_range(1_MiB, 2_MiB)));
    ASSERT_TRUE(slots.restore(guest_range(5_MiB, 2_MiB)));

    EXPECT_EQ(slots.present(), before);
    EXPECT_LE(kvm.highest_number(), 3 + 8U);  // numbers are used again
}

TEST(MemorySlots, DoingItTwiceChangesNothing) {
    FakeKvm kvm;
    auto slots = make(kvm);
    ASSERT_TRUE(slots.remove(guest_range(1_MiB, 1_MiB)));
    kvm.take_calls();

    ASSERT_TRUE(slots.remove(guest_range(1_MiB, 1_MiB)));
    ASSERT_TRUE(slots.restore(guest_range(8_MiB, 8_MiB)));

    EXPECT_EQ(kvm.take_calls(), 0U);
}

TEST(MemorySlots, ARefusedAddIsTold) {
    FakeKvm kvm;
    auto slots = make(kvm);
    ASSERT_TRUE(slots.remove(guest_range(4_MiB, 4_MiB)));
    kvm.fail_adds(true);

    EXPECT_FALSE(slots.restore(guest_range(4_MiB, 4_MiB)));

    kvm.fail_adds(false);
    EXPECT_TRUE(slots.restore(guest_range(4_MiB, 4_MiB)));
    EXPECT_EQ(kvm.behind(4_MiB), kHost + 4_MiB);
}

TEST(MemorySlots, AnySequenceKeepsWhatAMapOfPagesKeeps) {
    constexpr uint64_t kStep = 512_KiB;
    FakeKvm kvm;
    auto slots = make(kvm);
    std::vector<bool> present(16_MiB / kStep, true);
    std::mt19937_64 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same sequence each time
    for (int round = 0; round < 2000; ++round) {
        const uint64_t first = random() % present.size();
        const uint64_t count = 1 + random() % (present.size() - first);
        const bool give = random() % 2 == 0;
        const auto where = guest_range(first * kStep, count * kStep);
        ASSERT_TRUE(give ? slots.restore(where) : slots.remove(where));
        std::fill_n(present.begin() + static_cast<ptrdiff_t>(first), count, give);
        for (size_t i = 0; i < present.size(); ++i)
            ASSERT_EQ(kvm.behind(i * kStep) != 0, present[i]) << round << " " << i;
    }
    ASSERT_TRUE(slots.restore(guest_range(0, 16_MiB)));
    EXPECT_EQ(kvm.count(), 6U);
}

TEST(MemorySlots, BlocksGrowWithTheMachine) {
    EXPECT_EQ(MemorySlots::block_for(1_GiB), 2_MiB);
    EXPECT_EQ(MemorySlots::block_for(32_GiB), 2_MiB);
    EXPECT_EQ(MemorySlots::block_for(256_GiB), 16_MiB);
    // With those of blocks and of devices no more than KVM has.
    EXPECT_EQ(MemorySlots::most_pieces(1_GiB), 32'000U - 512);
    EXPECT_EQ(MemorySlots::most_pieces(512_GiB), 32'000U - 16'384);
}

}  // namespace
}  // namespace alcove::machine
