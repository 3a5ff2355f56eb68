// SPDX-License-Identifier: Apache-2.0
#include "ne/slot_table.hpp"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ne/backend_fake.hpp"
#include "ne/slot_uid.hpp"

namespace alcove::ne {
namespace {

using memory::GuestAddress;
using memory::GuestRange;
using testing::ElementsAre;

class SlotTableTest : public testing::Test {
  protected:
    static SlotTable make(Parent parent) {
        return SlotTable::create(std::move(parent),
                                 [next = uint64_t{0}]() mutable { return SlotUid{(++next) << 16}; })
            .value();
    }

    // Begins, and carries out what the host has to do.
    Reply ask(const Request& request, int32_t host_rc = 0) {
        const auto outcome = table.begin(request);
        return std::holds_alternative<Reply>(outcome) ? std::get<Reply>(outcome) : table.finish(host_rc);
    }
    int32_t rc(const Request& request, int32_t host_rc = 0) { return rc_of(ask(request, host_rc)); }

    uint64_t alloc() { return ask(SlotAlloc{}).slot_uid; }
    Request mem(uint64_t slot, uint64_t paddr, uint64_t size) {
        return SlotAddMem{.slot_uid = slot, .paddr = paddr, .size = size};
    }
    Request vcpu(uint64_t slot, uint32_t id) {
        return SlotAddVcpu{.slot_uid = slot, .vcpu_id = id, .padding = {}};
    }
    Request start(uint64_t slot, uint64_t cid = 0, uint64_t flags = 0) {
        return EnclaveStart{.slot_uid = slot, .enclave_cid = cid, .flags = flags};
    }
    SlotState state(uint64_t slot) { return slot_state_from(ask(SlotInfo{.slot_uid = slot}).state).value(); }
    // A slot with 64 MiB at place * 64 MiB and the core place + 1.
    uint64_t filled(uint32_t place) {
        const uint64_t slot = alloc();
        EXPECT_EQ(rc(mem(slot, place * 64_MiB, 64_MiB)), 0);
        EXPECT_EQ(rc(vcpu(slot, 2 * place + 2)), 0);
        EXPECT_EQ(rc(vcpu(slot, 2 * place + 3)), 0);
        return slot;
    }

    SlotTable table = make(small_parent());  // 256 MiB, 3 cores of 2
};

TEST_F(SlotTableTest, AllocGivesAUidAndRoomForManyRegions) {
    const auto reply = ask(SlotAlloc{});

    EXPECT_EQ(rc_of(reply), 0);
    EXPECT_EQ(reply.slot_uid, 1U << 16);
    EXPECT_EQ(reply.mem_regions, 128U);
    EXPECT_EQ(state(reply.slot_uid), SlotState::INIT);
}

TEST_F(SlotTableTest, UidsRiseAlsoWhenTheClockGoesBack) {
    std::vector<uint64_t> clock = {50, 50, 0, 7};
    auto late = SlotTable::create(small_parent(), [&] {
                    const SlotUid uid{clock.back()};
                    clock.pop_back();
                    return uid;
                }).value();
    std::vector<uint64_t> uids;
    for (int i = 0; i < 4; ++i)
        uids.push_back(std::get<Reply>(late.begin(SlotAlloc{})).slot_uid);

    EXPECT_THAT(uids, ElementsAre(7, 8, 50, 51));
}

TEST_F(SlotTableTest, UidsAreTheTimeInTheUpper48Bits) {
    EXPECT_EQ(number(make_slot_uid(0x123456789abc, 0xdef0)), 0x123456789abcdef0U);
    const auto source = system_slot_uids();
    EXPECT_GT(number(source()) >> 16, 1'600'000'000'000U);
}

TEST_F(SlotTableTest, TenThousandAllocsWithoutFreeMakeFourSlots) {
    int made = 0;
    for (int i = 0; i < 10'000; ++i)
        made += rc(SlotAlloc{}) == 0 ? 1 : 0;

    EXPECT_EQ(made, 4);
    EXPECT_EQ(rc(SlotAlloc{}), -ENOSPC);
    EXPECT_EQ(ask(SlotCount{}).slot_count, 4U);
}

TEST_F(SlotTableTest, EveryCommandWithASlotRefusesOneThatIsNotThere) {
    alloc();
    for (const uint64_t slot : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
        const Request requests[] = {mem(slot, 0, 2_MiB),
                                    vcpu(slot, 2),
                                    start(slot),
                                    EnclaveStop{.slot_uid = slot},
                                    SlotFree{.slot_uid = slot},
                                    SlotInfo{.slot_uid = slot},
                                    SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = 2}};
        for (const auto& request : requests)
            EXPECT_EQ(rc(request), -EINVAL) << command_name(command_of(request));
    }
}

TEST_F(SlotTableTest, RegionsConcatenateInOrder) {
    const uint64_t slot = alloc();
    rc(mem(slot, 100_MiB, 4_MiB));

    const auto second = std::get<Work>(table.begin(mem(slot, 20_MiB, 2_MiB)));

    EXPECT_EQ(std::get<work::AddMemory>(second),
              (work::AddMemory{
                  .slot = SlotUid{slot}, .region = {GuestAddress(20_MiB), 2_MiB}, .enclave_offset = 4_MiB}));
    EXPECT_EQ(rc_of(table.finish(0)), 0);
    const auto info = ask(SlotInfo{.slot_uid = slot});
    EXPECT_EQ(info.mem_regions, 2U);
    EXPECT_EQ(info.mem_size, 6_MiB);
}

TEST_F(SlotTableTest, MemoryHasOneOwner) {
    const uint64_t first = alloc();
    const uint64_t second = alloc();
    EXPECT_EQ(rc(mem(first, 32_MiB, 32_MiB)), 0);

    EXPECT_EQ(rc(mem(second, 32_MiB, 32_MiB)), -EBUSY);
    EXPECT_EQ(rc(mem(second, 62_MiB, 4_MiB)), -EBUSY);
    EXPECT_EQ(rc(mem(second, 0, 256_MiB)), -EBUSY);
    EXPECT_EQ(rc(mem(first, 32_MiB, 2_MiB)), -EBUSY);
    EXPECT_EQ(rc(mem(second, 64_MiB, 2_MiB)), 0);
}

TEST_F(SlotTableTest, MemoryOutsideRamIsRefused) {
    const uint64_t slot = alloc();
    EXPECT_EQ(rc(mem(slot, 255_MiB, 2_MiB)), -EINVAL);
    EXPECT_EQ(rc(mem(slot, 254_MiB, 4_MiB)), -EINVAL);
    EXPECT_EQ(rc(mem(slot, ~uint64_t{0} - 2_MiB + 1, 4_MiB)), -EINVAL);
    EXPECT_EQ(rc(mem(slot, 254_MiB, 2_MiB)), 0);
}

TEST_F(SlotTableTest, AllOfRamMayGoPageByPage) {
    const uint64_t slot = alloc();
    for (uint64_t at = 0; at < 256_MiB; at += 2_MiB)
        ASSERT_EQ(rc(mem(slot, at, 2_MiB)), 0) << at;

    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).mem_regions, 128U);
    EXPECT_EQ(table.carved().stretches(), 1U);
}

TEST_F(SlotTableTest, MorePiecesThanMemorySlotsAreRefused) {
    auto parent = small_parent();
    parent.max_ram_pieces = 3;
    table = make(parent);
    const uint64_t slot = alloc();
    EXPECT_EQ(rc(mem(slot, 4_MiB, 2_MiB)), 0);
    EXPECT_EQ(rc(mem(slot, 8_MiB, 2_MiB)), 0);

    EXPECT_EQ(rc(mem(slot, 12_MiB, 2_MiB)), -ENOSPC);
    EXPECT_EQ(rc(mem(slot, 10_MiB, 2_MiB)), 0);
}

TEST_F(SlotTableTest, PiecesThatAFreeWouldMakeAreRefusedBefore) {
    auto parent = small_parent();
    parent.max_ram_pieces = 2;
    table = make(parent);
    const uint64_t even = alloc();
    const uint64_t odd = alloc();
    rc(mem(even, 0, 2_MiB));
    rc(mem(odd, 2_MiB, 2_MiB));
    rc(mem(even, 4_MiB, 2_MiB));

    // The primary has one piece now, and would have after this; but it would have three without `even`.
    EXPECT_EQ(rc(mem(odd, 6_MiB, 2_MiB)), -ENOSPC);
    EXPECT_EQ(rc(mem(even, 6_MiB, 2_MiB)), 0);
    EXPECT_EQ(rc(SlotFree{.slot_uid = even}), 0);
    EXPECT_EQ(table.carved().most_pieces(), 2U);
}

TEST_F(SlotTableTest, WhatTheHostCouldNotDoWasNeverBooked) {
    const uint64_t slot = filled(0);

    EXPECT_EQ(rc(mem(slot, 128_MiB, 4_MiB), -ENOMEM), -ENOMEM);
    EXPECT_EQ(rc(vcpu(slot, 4), -EBUSY), -EBUSY);
    EXPECT_EQ(rc(start(slot), -EIO), -EIO);

    EXPECT_EQ(state(slot), SlotState::INIT);
    EXPECT_EQ(table.carved().owner(GuestAddress(128_MiB)), std::nullopt);
    EXPECT_EQ(table.vcpu_owner(VcpuId{4}), std::nullopt);
    const auto info = ask(SlotInfo{.slot_uid = slot});
    EXPECT_EQ(info.mem_size, 64_MiB);
    EXPECT_EQ(info.nr_vcpus, 2U);
    EXPECT_EQ(info.enclave_cid, 0U);
}

TEST_F(SlotTableTest, AHostsErrnoOutsideTheRangeBecomesEio) {
    const uint64_t slot = alloc();
    EXPECT_EQ(rc(mem(slot, 0, 2_MiB), -260), -EIO);
}

TEST_F(SlotTableTest, MemoryIsTheSlotsWhileItMoves) {
    const uint64_t slot = alloc();
    table.begin(mem(slot, 0, 2_MiB));

    EXPECT_EQ(table.carved().owner(GuestAddress(0)), SlotUid{slot});
    EXPECT_EQ(rc_of(std::get<Reply>(table.begin(SlotInfo{.slot_uid = slot}))), -EBUSY);
    EXPECT_EQ(rc_of(table.finish(0)), 0);
    EXPECT_EQ(rc(SlotInfo{.slot_uid = slot}), 0);
}

TEST_F(SlotTableTest, TheParentKeepsItsFirstCore) {
    const uint64_t slot = alloc();
    EXPECT_EQ(rc(vcpu(slot, 0)), -EBUSY);
    EXPECT_EQ(rc(vcpu(slot, 1)), -EBUSY);
    EXPECT_EQ(rc(vcpu(slot, 6)), -EINVAL);
    EXPECT_EQ(rc(vcpu(slot, 0xffffffff)), -EINVAL);
}

TEST_F(SlotTableTest, AVcpuAndItsSiblingsHaveOneOwner) {
    const uint64_t first = alloc();
    const uint64_t second = alloc();
    EXPECT_EQ(rc(vcpu(first, 2)), 0);

    EXPECT_EQ(rc(vcpu(first, 2)), -EBUSY);
    EXPECT_EQ(rc(vcpu(second, 2)), -EBUSY);
    EXPECT_EQ(rc(vcpu(second, 3)), -EBUSY);
    EXPECT_EQ(rc(vcpu(first, 3)), 0);
    EXPECT_EQ(table.vcpu_owner(VcpuId{3}), SlotUid{first});
}

TEST_F(SlotTableTest, HalfACoreDoesNotStart) {
    const uint64_t slot = alloc();
    rc(mem(slot, 0, 64_MiB));
    rc(vcpu(slot, 2));
    EXPECT_EQ(rc(start(slot)), -EINVAL);

    rc(vcpu(slot, 3));
    EXPECT_EQ(rc(start(slot)), 0);
}

TEST_F(SlotTableTest, ManyVcpusAreTakenCoreByCore) {
    const uint64_t slot = alloc();
    rc(vcpu(slot, 5));

    const auto outcome = table.begin(SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = 3});

    EXPECT_THAT(std::get<work::AddVcpus>(std::get<Work>(outcome)).vcpus,
                ElementsAre(VcpuId{4}, VcpuId{2}, VcpuId{3}));
    EXPECT_EQ(rc_of(table.finish(0)), 0);
    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).nr_vcpus, 4U);
}

TEST_F(SlotTableTest, ManyVcpusAreTakenAllOrNone) {
    const uint64_t slot = alloc();
    for (const uint64_t count : {uint64_t{5}, uint64_t{0x100000002}, ~uint64_t{0}})
        EXPECT_EQ(rc(SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = count}), -ENOSPC) << count;
    EXPECT_EQ(rc(SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = 0}), -EINVAL);
    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).nr_vcpus, 0U);

    EXPECT_EQ(rc(SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = 4}, -EIO), -EIO);
    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).nr_vcpus, 0U);
}

TEST_F(SlotTableTest, AnIncompleteEnclaveDoesNotStart) {
    const uint64_t slot = alloc();
    EXPECT_EQ(rc(start(slot)), -EINVAL);
    rc(SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = 2});
    EXPECT_EQ(rc(start(slot)), -EINVAL);
    rc(mem(slot, 0, 62_MiB));
    EXPECT_EQ(rc(start(slot)), -ENOMEM);
    rc(mem(slot, 62_MiB, 2_MiB));
    EXPECT_EQ(rc(start(slot)), 0);
}

TEST_F(SlotTableTest, CidsAreChosenUpwardsFrom16AndNotSoonAgain) {
    const uint64_t first = filled(0);
    EXPECT_EQ(ask(start(first)).enclave_cid, 16U);
    rc(SlotFree{.slot_uid = first});
    const uint64_t second = filled(0);

    EXPECT_EQ(ask(start(second)).enclave_cid, 17U);
}

TEST_F(SlotTableTest, ATakenCidIsRefusedAndSkipped) {
    const uint64_t first = filled(0);
    const uint64_t second = filled(1);
    EXPECT_EQ(ask(start(first, 17)).enclave_cid, 17U);
    EXPECT_EQ(rc(start(second, 17)), -EEXIST);
    EXPECT_TRUE(table.hold_cid(Cid{16}));
    EXPECT_FALSE(table.hold_cid(Cid{17}));
    EXPECT_EQ(rc(start(second, 16)), -EEXIST);

    EXPECT_EQ(ask(start(second)).enclave_cid, 18U);
}

TEST_F(SlotTableTest, AStoppedEnclaveKeepsItsCidUntilItIsFreed) {
    const uint64_t first = filled(0);
    const uint64_t second = filled(1);
    rc(start(first, 20));
    rc(EnclaveStop{.slot_uid = first});
    EXPECT_EQ(rc(start(second, 20)), -EEXIST);

    rc(SlotFree{.slot_uid = first});
    EXPECT_EQ(rc(start(second, 20)), 0);
}

TEST_F(SlotTableTest, ReservedCidsAndUnknownFlagsAreRefused) {
    const uint64_t slot = filled(0);
    for (const uint64_t cid :
         {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{0xffffffff}, bit<uint64_t>(32)})
        EXPECT_EQ(rc(start(slot, cid)), -EINVAL) << cid;
    EXPECT_EQ(rc(start(slot, 0, 2)), -EINVAL);
    EXPECT_EQ(state(slot), SlotState::INIT);
}

TEST_F(SlotTableTest, DebugModeIsKept) {
    const uint64_t slot = filled(0);
    rc(start(slot, 0, EnclaveStart::DEBUG_MODE));

    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).flags, 1U);
    EXPECT_TRUE(table.find(SlotUid{slot})->is_debug());
}

TEST_F(SlotTableTest, NothingChangesAfterTheStart) {
    const uint64_t slot = filled(0);
    rc(start(slot));
    for (const bool stopped : {false, true}) {
        EXPECT_EQ(rc(start(slot)), -EINVAL) << stopped;
        EXPECT_EQ(rc(mem(slot, 128_MiB, 2_MiB)), -EINVAL) << stopped;
        EXPECT_EQ(rc(vcpu(slot, 4)), -EINVAL) << stopped;
        EXPECT_EQ(rc(SlotAddBulkVcpus{.slot_uid = slot, .nr_vcpus = 2}), -EINVAL) << stopped;
        rc(EnclaveStop{.slot_uid = slot});
    }
}

TEST_F(SlotTableTest, StopNeverFailsForAKnownSlot) {
    const uint64_t slot = filled(0);
    EXPECT_EQ(rc(EnclaveStop{.slot_uid = slot}), 0);
    EXPECT_EQ(state(slot), SlotState::INIT);
    rc(start(slot));
    EXPECT_EQ(rc(EnclaveStop{.slot_uid = slot}, -EIO), 0);
    EXPECT_EQ(state(slot), SlotState::STOPPED);
    EXPECT_EQ(rc(EnclaveStop{.slot_uid = slot}), 0);
}

TEST_F(SlotTableTest, FreeNeverFailsAndGivesEverythingBack) {
    const uint64_t idle = alloc();
    EXPECT_EQ(rc(SlotFree{.slot_uid = idle}, -EIO), 0);
    const uint64_t running = filled(0);
    rc(start(running));
    EXPECT_EQ(rc(SlotFree{.slot_uid = running}, -EIO), 0);
    const uint64_t stopped = filled(0);
    rc(start(stopped));
    ASSERT_TRUE(table.enclave_ended(SlotUid{stopped}));
    EXPECT_EQ(rc(SlotFree{.slot_uid = stopped}), 0);

    EXPECT_EQ(table.carved().carved_bytes(), 0U);
    EXPECT_EQ(table.carved().stretches(), 1U);
    EXPECT_EQ(table.vcpu_owner(VcpuId{2}), std::nullopt);
    EXPECT_EQ(ask(SlotCount{}).slot_count, 0U);
    EXPECT_EQ(rc(SlotFree{.slot_uid = stopped}), -EINVAL);
}

TEST_F(SlotTableTest, MemoryIsTheSlotsUntilItHasBeenGivenBack) {
    const uint64_t slot = filled(0);
    table.begin(SlotFree{.slot_uid = slot});
    EXPECT_EQ(table.carved().owner(GuestAddress(0)), SlotUid{slot});

    table.finish(0);
    EXPECT_EQ(table.carved().owner(GuestAddress(0)), std::nullopt);
}

TEST_F(SlotTableTest, OnlyARunningEnclaveCanEnd) {
    const uint64_t slot = filled(0);
    EXPECT_FALSE(table.enclave_ended(SlotUid{slot}));
    EXPECT_FALSE(table.enclave_ended(SlotUid{999}));
    rc(start(slot));
    EXPECT_TRUE(table.enclave_ended(SlotUid{slot}));
    EXPECT_FALSE(table.enclave_ended(SlotUid{slot}));
    EXPECT_EQ(state(slot), SlotState::STOPPED);
}

TEST_F(SlotTableTest, AnEnclaveMayEndBeforeItsStartIsFinished) {
    const uint64_t slot = filled(0);
    table.begin(start(slot));
    EXPECT_TRUE(table.enclave_ended(SlotUid{slot}));

    EXPECT_EQ(table.finish(0).enclave_cid, 16U);
    EXPECT_EQ(state(slot), SlotState::STOPPED);
}

TEST_F(SlotTableTest, SlotsAreWalkedUpwards) {
    const uint64_t first = alloc();
    const uint64_t second = alloc();
    const uint64_t third = alloc();
    rc(SlotFree{.slot_uid = second});

    EXPECT_EQ(ask(NextSlot{.slot_uid = 0}).slot_uid, first);
    EXPECT_EQ(ask(NextSlot{.slot_uid = first}).slot_uid, third);
    EXPECT_EQ(ask(NextSlot{.slot_uid = second}).slot_uid, third);
    const auto end = ask(NextSlot{.slot_uid = third});
    EXPECT_EQ(rc_of(end), 0);
    EXPECT_EQ(end.slot_uid, 0U);
}

TEST_F(SlotTableTest, ASlotIsFoundByItsCid) {
    alloc();
    const uint64_t slot = filled(0);
    EXPECT_EQ(rc(EnclaveGetSlot{.enclave_cid = 16}), -ENODEV);
    EXPECT_EQ(rc(EnclaveGetSlot{.enclave_cid = 0}), -ENODEV);
    rc(start(slot));

    EXPECT_EQ(ask(EnclaveGetSlot{.enclave_cid = 16}).slot_uid, slot);
}

TEST_F(SlotTableTest, AReleaseGivesEverythingBackAndNothingIsBegunMeanwhile) {
    filled(0);
    rc(start(filled(1)));
    table.begin_release();
    EXPECT_EQ(rc(SlotAlloc{}), -EBUSY);
    EXPECT_EQ(table.carved().carved_bytes(), 128_MiB);

    table.finish_release();

    EXPECT_EQ(table.carved().carved_bytes(), 0U);
    EXPECT_TRUE(table.slots().empty());
    EXPECT_EQ(rc(SlotAlloc{}), 0);
}

}  // namespace
}  // namespace alcove::ne
