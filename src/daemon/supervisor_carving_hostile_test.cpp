// SPDX-License-Identifier: Apache-2.0
//
// Primary VMs whose kernel, or VMM, does what none should, and ends that come at the worst moment: everything
// returns, and to whom it belongs.
#include <cerrno>

#include <gmock/gmock.h>

#include "daemon/carving_fixture_test.hpp"

namespace alcove::daemon {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;
using testing::Value;

// With an enclave beside the primary VM that has nothing to do with it.
class CarvingBesideTest : public CarvingTest {
  protected:
    CarvingBesideTest() {
        auto launch = request("bystander");
        launch.policy = host::CpuPolicy::Shared;
        bystander_ = supervisor_->launch(std::move(launch)).value().id;
        EXPECT_TRUE(until([&] { return record(bystander_).ready; }));
        grant_ = supervisor_->grant(bystander_).value();
    }
    bool only_the_bystander_is_there() {
        return host_.present() == std::vector{bystander_} && ledger_->grants().size() == 1;
    }
    void expect_the_bystander_noticed_nothing() {
        EXPECT_EQ(record(bystander_).state, VmState::Running);
        EXPECT_TRUE(record(bystander_).ready);
        EXPECT_EQ(supervisor_->grant(bystander_), grant_);
        EXPECT_THAT(host_.orders(), Not(Contains(HasSubstr(bystander_))));
    }

    std::string bystander_;
    host::Grant grant_;
};

TEST_F(CarvingTest, AllocsWithoutFreeMakeFourEnclaves) {
    std::vector<uint64_t> slots;
    for (int i = 0; i < 300; ++i) {
        const auto reply = ask(ne::SlotAlloc{.unused = 0});
        if (ne::rc_of(reply) == 0) slots.push_back(reply.slot_uid);
        ASSERT_TRUE(ne::rc_of(reply) == 0 || ne::rc_of(reply) == -ENOSPC);
    }

    ASSERT_EQ(slots.size(), 4U);
    EXPECT_TRUE(until([&] { return host_.present().size() == 5; }));
    EXPECT_EQ(supervisor_->list().size(), 5U);
    for (const auto slot : slots)
        EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot}), 0);
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

TEST_F(CarvingTest, ASecondStartStartsNothing) {
    run_enclave();

    EXPECT_EQ(rc(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0}), -EINVAL);

    const auto orders = host_.orders();
    EXPECT_EQ(std::count(orders.begin(), orders.end(), "begin " + enclave_ + " with 2 vCPUs, 2 a core"), 1);
    EXPECT_EQ(record(enclave_).state, VmState::Running);
}

TEST_F(CarvingTest, ASlotThatIsFreedWhileItsEnclaveStartsGivesEverythingBack) {
    const auto whole = supervisor_->grant(primary_).value();
    host_.set_script(FakeHost::Script::Hold);
    prepare();
    ASSERT_EQ(rc(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0}), 0);
    ASSERT_NE(record(enclave_).state, VmState::Running);

    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);

    EXPECT_EQ(supervisor_->grant(primary_), whole);
    EXPECT_EQ(host_.present(), std::vector{primary_});
    EXPECT_THAT(host_.orders(), Contains("give back " + enclave_));
}

TEST_F(CarvingTest, MemoryThatIsNotThePrimarysToGiveIsNotMoved) {
    prepare();
    const auto other = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    const auto orders = host_.orders();
    const auto held = supervisor_->grant(primary_).value();
    struct Case {
        uint64_t paddr, size;
        int refused;
    };
    constexpr Case kCases[] = {
        {0, 0, EINVAL},                             // empty
        {1_MiB, 2_MiB, EINVAL},                     // misaligned
        {2_MiB, 2_MiB + 4_KiB, EINVAL},             // not whole pages of the driver's
        {510_MiB, 4_MiB, EINVAL},                   // leaves RAM
        {512_MiB, 2_MiB, EINVAL},                   // behind RAM
        {3_GiB, 2_MiB, EINVAL},                     // devices
        {0xfee00000, 2_MiB, EINVAL},                // interrupt controllers
        {4_GiB, 2_MiB, EINVAL},                     // high RAM that this VM has not
        {~uint64_t{0} - 2_MiB + 1, 4_MiB, EINVAL},  // wraps
        {2_MiB, ~uint64_t{0} - 2_MiB + 1, EINVAL},  // likewise
        {256_MiB, 128_MiB, EBUSY},                  // carved already
        {254_MiB, 4_MiB, EBUSY},                    // overlaps from below,
        {382_MiB, 4_MiB, EBUSY},                    // from above,
        {300_MiB, 2_MiB, EBUSY},                    // from within,
        {0, 512_MiB, EBUSY},                        // and from around
    };
    for (const uint64_t slot : {slot_, uint64_t{other}})
        for (const auto& one : kCases)
            EXPECT_EQ(rc(ne::SlotAddMem{.slot_uid = slot, .paddr = one.paddr, .size = one.size}),
                      -one.refused)
                << std::hex << one.paddr << "+" << one.size;

    EXPECT_EQ(host_.orders(), orders);
    EXPECT_EQ(supervisor_->grant(primary_), held);
}

TEST_F(CarvingTest, MemoryThatTheHostHasNoRoomForStaysThePrimarysAndCanBeAskedForAgain) {
    const auto whole = supervisor_->grant(primary_).value();
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    host_.refuse_next_memory(Error(ErrorCode::OutOfMemory, "none"));
    const ne::SlotAddMem add{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB};

    EXPECT_EQ(rc(add), -ENOMEM);
    EXPECT_EQ(supervisor_->grant(primary_), whole);
    EXPECT_EQ(ask(ne::SlotInfo{.slot_uid = slot_}).mem_size, 0U);

    EXPECT_EQ(rc(add), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 384_MiB);
}

TEST_F(CarvingBesideTest, MemoryThatIsLostOnItsWayEndsThePrimaryAndNothingElse) {
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    host_.refuse_next_memory(Error(ErrorCode::MemoryLost, "neither here nor there"));
    send(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB});

    EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Stopped; }));
    EXPECT_TRUE(until([&] { return only_the_bystander_is_there(); }));
    expect_the_bystander_noticed_nothing();
}

TEST_F(CarvingTest, AnEnclaveThatDiesBeforeItsHeartbeatIsToldAndFreed) {
    host_.set_script(FakeHost::Script::Measured);
    run_enclave();
    ASSERT_FALSE(record(enclave_).ready);

    host_.end(enclave_, api::StopReason::TripleFault);

    const auto message = received();
    const auto changed = api::decode<messages::SlotChanged>(api::open_envelope(message).value());
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->state, static_cast<uint16_t>(ne::SlotState::STOPPED));
    EXPECT_EQ(rc(ne::EnclaveStop{.slot_uid = slot_}), 0);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(record(enclave_).reason, "triple_fault");
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

TEST_F(CarvingTest, AlcovedMayBeKilledBetweenAnyTwoCommands) {
    const auto whole = supervisor_->grant(primary_).value();
    const auto killed = [&] {
        restart();
        connect(0);
    };
    killed();
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    const std::vector<ne::Request> commands = {
        ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 64_MiB},
        ne::SlotAddMem{.slot_uid = slot_, .paddr = 64_MiB, .size = 64_MiB},
        ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = 2, .padding = {}},
        ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = 3, .padding = {}},
        ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0},
        ne::SlotInfo{.slot_uid = slot_},
        ne::EnclaveStop{.slot_uid = slot_},
        ne::SlotFree{.slot_uid = slot_},
    };
    for (const auto& command : commands) {
        killed();
        EXPECT_EQ(rc(command), 0) << "command " << number_;
    }
    killed();

    EXPECT_EQ(ask(ne::SlotCount{.unused = 0}).slot_count, 0U);
    EXPECT_EQ(supervisor_->grant(primary_), whole);
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

// RAM above the devices' addresses lies in its file where that below them ends.
class LargeCarvingTest : public CarvingTest {
  protected:
    LargeCarvingTest() : CarvingTest(4_GiB) {}
};

TEST_F(LargeCarvingTest, MemoryAbove4GiBIsTakenFromItsPlaceInTheFile) {
    const auto whole = supervisor_->grant(primary_).value();
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    const auto id = enclave_id(slot_);

    EXPECT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 4_GiB + 512_MiB, .size = 128_MiB}), 0);
    EXPECT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 3_GiB - 64_MiB, .size = 64_MiB}), 0);
    EXPECT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 3_GiB - 128_MiB, .size = 128_MiB}), -EBUSY);
    EXPECT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 3_GiB, .size = 64_MiB}), -EINVAL);
    EXPECT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 5_GiB, .size = 64_MiB}), -EINVAL);

    EXPECT_THAT(host_.orders(), ElementsAre("add " + id + " 3584+128 at 0", "add " + id + " 3008+64 at 128"));
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 4_GiB - 192_MiB);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_), whole);
}

// ---- Ends of the primary in each state ----

// Between two commands or, at Launching, Moving, Assigning and Freeing, with one in hand.
enum class Carved { Slot, Launching, Moving, Memory, Vcpus, Assigning, Starting, Running, Ended, Freeing };
enum class End { VmmKilled, ShimKilled, Panic, Removed };

class CarvingStates : public CarvingBesideTest {
  protected:
    void carve(Carved state) {
        if (state == Carved::Starting) host_.set_script(FakeHost::Script::Hold);
        if (state == Carved::Launching) host_.hold_launches(true);
        if (state == Carved::Moving) host_.hold_memory(true);
        slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
        enclave_ = enclave_id(slot_);
        if (state == Carved::Slot) return;
        const ne::SlotAddMem add{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB};
        if (state == Carved::Launching) return send(add);
        if (state == Carved::Moving) {
            send(add);
            ASSERT_TRUE(until([&] { return !host_.orders().empty(); }));
            return;
        }
        ASSERT_EQ(rc(add), 0);
        if (state == Carved::Memory) return;
        for (const uint32_t vcpu : {2U, 3U})
            ASSERT_EQ(rc(ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = vcpu, .padding = {}}), 0);
        if (state == Carved::Vcpus) return;
        const ne::EnclaveStart start{.slot_uid = slot_, .enclave_cid = 0, .flags = 0};
        if (state == Carved::Assigning) {
            host_.hold_cores(true);
            send(start);
            ASSERT_TRUE(until([&] { return Value(host_.orders(), Contains("cores " + enclave_ + " 4,5")); }));
            return;
        }
        ASSERT_EQ(rc(start), 0);
        if (state != Carved::Ended && state != Carved::Freeing) return;
        host_.end(enclave_, api::StopReason::I8042Reset);
        received();
        if (state == Carved::Ended) return;
        host_.refuse_give_backs(enclave_, 1000);
        send(ne::SlotFree{.slot_uid = slot_});
        ASSERT_TRUE(until([&] { return Value(host_.orders(), Contains("give back " + enclave_)); }));
    }
    // What was in hand is answered after all.
    void go_on(Carved state) {
        host_.hold_launches(false);
        host_.hold_memory(false);
        host_.hold_cores(false);
        if (state == Carved::Freeing) host_.refuse_give_backs(enclave_, 0);
    }
};

class CarvingEndTest : public CarvingStates, public testing::WithParamInterface<std::tuple<Carved, End>> {
  protected:
    void end(End how) {
        switch (how) {
            case End::VmmKilled:
                return host_.end(primary_, api::StopReason::VmmCrashed, "signal 9");
            case End::ShimKilled:
                return host_.kill_shim(primary_);
            case End::Panic:
                return host_.end(primary_, api::StopReason::GuestPanic);
            case End::Removed:  // by a client, and with it the record of it
                ASSERT_TRUE(supervisor_->remove(primary_));
                return;
        }
    }
};

TEST_P(CarvingEndTest, ThePrimarysEndReturnsEverythingToTheHostAndNoOtherVmNotices) {
    const auto [state, how] = GetParam();
    ASSERT_NO_FATAL_FAILURE(carve(state));
    host_.refuse_removals(true, enclave_);  // it is there longer than its primary

    ASSERT_NO_FATAL_FAILURE(end(how));
    ASSERT_TRUE(until([&] {
        const auto primary = supervisor_->find(primary_, api::VmRole::Primary);
        return !primary || is_over(primary->state);
    }));
    go_on(state);
    run_for(milliseconds(5));
    host_.refuse_removals(false);

    EXPECT_TRUE(until([&] { return only_the_bystander_is_there(); }));
    expect_the_bystander_noticed_nothing();
    for (const auto& one : supervisor_->list())
        EXPECT_TRUE(one.id == bystander_ || is_over(one.state)) << one.id << " is " << state_name(one.state);
}

class CarvingResetTest : public CarvingStates, public testing::WithParamInterface<Carved> {};

TEST_P(CarvingResetTest, TheNextLifeFindsEverythingAgain) {
    const auto whole = supervisor_->grant(primary_).value();
    ASSERT_NO_FATAL_FAILURE(carve(GetParam()));
    host_.reset(primary_);
    number_ = 0;

    connect(1);
    go_on(GetParam());

    EXPECT_EQ(ask(ne::SlotCount{.unused = 0}).slot_count, 0U);
    EXPECT_EQ(supervisor_->grant(primary_), whole);
    EXPECT_THAT(host_.present(), UnorderedElementsAre(primary_, bystander_));
    expect_the_bystander_noticed_nothing();
}

constexpr Carved kStates[] = {Carved::Slot,  Carved::Launching, Carved::Moving,   Carved::Memory,
                              Carved::Vcpus, Carved::Assigning, Carved::Starting, Carved::Running,
                              Carved::Ended, Carved::Freeing};
constexpr End kEnds[] = {End::VmmKilled, End::ShimKilled, End::Panic, End::Removed};

INSTANTIATE_TEST_SUITE_P(States, CarvingEndTest,
                         testing::Combine(testing::ValuesIn(kStates), testing::ValuesIn(kEnds)));
INSTANTIATE_TEST_SUITE_P(States, CarvingResetTest, testing::ValuesIn(kStates));

}  // namespace
}  // namespace alcove::daemon
