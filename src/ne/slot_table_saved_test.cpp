// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <functional>

#include <gtest/gtest.h>

#include "ne/backend_fake.hpp"
#include "ne/slot_table.hpp"

namespace alcove::ne {
namespace {

using memory::GuestAddress;

SlotUid some_uid() {
    return SlotUid{1000};
}

Reply ask(SlotTable& table, const Request& request) {
    const auto outcome = table.begin(request);
    return std::holds_alternative<Reply>(outcome) ? std::get<Reply>(outcome) : table.finish(0);
}

// One running slot with two regions and a core, and one that is being filled.
SlotTable busy_table() {
    auto table = SlotTable::create(small_parent(), some_uid).value();
    const uint64_t running = ask(table, SlotAlloc{}).slot_uid;
    ask(table, SlotAddMem{.slot_uid = running, .paddr = 128_MiB, .size = 64_MiB});
    ask(table, SlotAddMem{.slot_uid = running, .paddr = 0, .size = 2_MiB});
    ask(table, SlotAddBulkVcpus{.slot_uid = running, .nr_vcpus = 2});
    ask(table, EnclaveStart{.slot_uid = running, .enclave_cid = 0, .flags = 1});
    const uint64_t filling = ask(table, SlotAlloc{}).slot_uid;
    ask(table, SlotAddMem{.slot_uid = filling, .paddr = 4_MiB, .size = 4_MiB});
    table.hold_cid(Cid{99});
    return table;
}

TEST(SlotTableSaved, AllOfItComesBack) {
    const auto table = busy_table();

    auto restored = SlotTable::restore(small_parent(), some_uid, table.saved());

    ASSERT_TRUE(restored) << restored.error().to_string();
    EXPECT_EQ(restored->saved(), table.saved());
    EXPECT_EQ(restored->carved().stretches(), table.carved().stretches());
    EXPECT_EQ(restored->vcpu_owner(VcpuId{2}), table.vcpu_owner(VcpuId{2}));
    EXPECT_EQ(rc_of(ask(*restored, SlotAddMem{.slot_uid = 1001, .paddr = 0, .size = 2_MiB})), -EBUSY);
    EXPECT_EQ(ask(*restored, SlotAlloc{}).slot_uid, 1002U);
}

TEST(SlotTableSaved, ACommandInHandCanStillBeTakenBack) {
    auto table = busy_table();
    table.begin(SlotAddMem{.slot_uid = 1001, .paddr = 16_MiB, .size = 2_MiB});

    auto restored = SlotTable::restore(small_parent(), some_uid, table.saved());

    ASSERT_TRUE(restored) << restored.error().to_string();
    EXPECT_EQ(restored->carved().owner(GuestAddress(16_MiB)), SlotUid{1001});
    EXPECT_EQ(rc_of(restored->finish(-ENOMEM)), -ENOMEM);
    EXPECT_EQ(restored->carved().owner(GuestAddress(16_MiB)), std::nullopt);
}

TEST(SlotTableSaved, AReleaseGoesOn) {
    auto table = busy_table();
    table.begin_release();

    auto restored = SlotTable::restore(small_parent(), some_uid, table.saved());

    ASSERT_TRUE(restored);
    EXPECT_TRUE(restored->is_releasing());
    restored->finish_release();
    EXPECT_EQ(restored->carved().carved_bytes(), 0U);
}

TEST(SlotTableSaved, WhatBreaksARuleIsRefused) {
    using Saved = SlotTable::Saved;
    const std::function<void(Saved&)> spoilers[] = {
        [](Saved& saved) { saved.slots[1].uid = saved.slots[0].uid; },
        [](Saved& saved) { std::swap(saved.slots[0], saved.slots[1]); },
        [](Saved& saved) { saved.slots[0].uid = SlotUid{}; },
        [](Saved& saved) { saved.last_uid = SlotUid{1000}; },
        [](Saved& saved) { saved.slots.resize(5, saved.slots[1]); },
        [](Saved& saved) { saved.slots[1].regions[0].base = GuestAddress(128_MiB); },
        [](Saved& saved) { saved.slots[1].regions[0].base = GuestAddress(254_MiB); },
        [](Saved& saved) { saved.slots[1].regions[0].size = 1; },
        [](Saved& saved) { saved.slots[1].memory_bytes = 2_MiB; },
        [](Saved& saved) { saved.slots[1].vcpus = {VcpuId{0}}; },
        [](Saved& saved) { saved.slots[1].vcpus = {VcpuId{3}}; },
        [](Saved& saved) { saved.slots[1].vcpus = {VcpuId{6}}; },
        [](Saved& saved) { saved.slots[0].vcpus.pop_back(); },
        [](Saved& saved) { saved.slots[0].cid = Cid{}; },
        [](Saved& saved) { saved.slots[0].cid = Cid{3}; },
        [](Saved& saved) { saved.slots[0].cid = Cid{99}; },
        [](Saved& saved) { saved.slots[0].flags = 2; },
        [](Saved& saved) { saved.slots[0].state = SlotState{1}; },
        [](Saved& saved) { saved.slots[1].state = SlotState::RUNNING; },
        [](Saved& saved) { saved.slots[1].cid = Cid{50}; },
        [](Saved& saved) { saved.slots[1].flags = 1; },
        [](Saved& saved) { saved.next_cid = Cid{3}; },
        [](Saved& saved) { saved.in_hand = work::Free{SlotUid{5}}; },
        [](Saved& saved) { saved.in_hand = work::Start{SlotUid{1001}}; },
        [](Saved& saved) {
            saved.in_hand = work::AddVcpus{SlotUid{1001}, {VcpuId{4}}};
        },
        [](Saved& saved) {
            saved.in_hand = work::AddMemory{SlotUid{1001}, {GuestAddress(0), 2_MiB}, 0};
        },
        [](Saved& saved) {
            saved.in_hand = work::Free{SlotUid{1001}};
            saved.releasing = true;
        },
    };
    const auto good = busy_table().saved();
    for (size_t i = 0; i < std::size(spoilers); ++i) {
        auto saved = good;
        spoilers[i](saved);

        EXPECT_FALSE(SlotTable::restore(small_parent(), some_uid, saved)) << i;
    }
}

// A slot's regions come back before those of later slots, not in the order in which they were carved.
TEST(SlotTableSaved, ALimitOfPiecesThatWasKeptIsKeptInAnyOrder) {
    auto parent = small_parent();
    parent.max_ram_pieces = 3;
    auto table = SlotTable::create(parent, some_uid).value();
    const uint64_t first = ask(table, SlotAlloc{}).slot_uid;
    const uint64_t second = ask(table, SlotAlloc{}).slot_uid;
    for (const uint64_t mib : {10U, 14U, 12U})
        ASSERT_EQ(rc_of(ask(table, SlotAddMem{.slot_uid = second, .paddr = mib << 20, .size = 2_MiB})), 0);
    ASSERT_EQ(rc_of(ask(table, SlotAddMem{.slot_uid = first, .paddr = 18_MiB, .size = 2_MiB})), 0);

    const auto restored = SlotTable::restore(parent, some_uid, table.saved());

    ASSERT_TRUE(restored) << restored.error().to_string();
    EXPECT_EQ(restored->saved(), table.saved());
}

TEST(SlotTableSaved, APrimaryThatShrankDoesNotGetItsSlotsBack) {
    auto smaller = small_parent();
    smaller.ram[0].size = 128_MiB;

    EXPECT_FALSE(SlotTable::restore(smaller, some_uid, busy_table().saved()));
}

}  // namespace
}  // namespace alcove::ne
