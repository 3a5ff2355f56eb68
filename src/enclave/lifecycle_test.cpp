// SPDX-License-Identifier: Apache-2.0
#include "enclave/lifecycle.hpp"

#include <csignal>
#include <functional>

#include <gtest/gtest.h>

namespace alcove::enclave {
namespace {

using api::StopReason;
using api::shim::Phase;

constexpr std::chrono::milliseconds kPatience(700);

ImageFacts some_facts() {
    ImageFacts facts;
    facts.pcr0.fill(0xa0);
    facts.pcr1.fill(0xa1);
    facts.pcr2.fill(0xa2);
    facts.pcr8.fill(0xa8);
    facts.is_signed = true;
    facts.certificate_subject = std::string(300, 's');
    return facts;
}

api::vmm::Stopped stopped_for(StopReason reason) {
    return {.time_ns = 9, .reason = static_cast<uint16_t>(reason), .vcpu = 1, .reserved = {}};
}

StopReason reason_of(const Lifecycle& life) {
    return static_cast<StopReason>(static_cast<uint16_t>(life.state().reason));
}

struct LifecycleTest : testing::Test {
    Lifecycle life{api::VmId::parse("vm-1").value(), {}, 77, 5};

    void prepare() {
        life.image_accepted(some_facts(), 6);
        life.memory_reserved();
        life.attested();
    }
    void run() {
        prepare();
        life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    }
};

TEST_F(LifecycleTest, AGoodLifeGoesThroughAllPhases) {
    EXPECT_EQ(life.phase(), Phase::Copying);

    EXPECT_TRUE(life.image_accepted(some_facts(), 6).attest);
    EXPECT_EQ(life.phase(), Phase::Reserving);
    EXPECT_FALSE(life.attested().launch);
    EXPECT_TRUE(life.memory_reserved().launch);
    EXPECT_EQ(life.phase(), Phase::Starting);
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    EXPECT_EQ(life.phase(), Phase::Running);
    life.ready({.time_ns = 20, .answered_by = 1, .reserved = {}});
    EXPECT_EQ(life.phase(), Phase::Ready);
    life.app_exited({.time_ns = 30, .kind = 1, .value = 3});
    EXPECT_EQ(life.stopped(stopped_for(StopReason::I8042Reset), "by reboot=k").kill_after,
              Lifecycle::kExitGrace);
    EXPECT_EQ(life.phase(), Phase::Stopping);
    life.vmm_gone({.by_signal = false, .value = 0}, "", 40);

    EXPECT_EQ(life.phase(), Phase::Ended);
    EXPECT_EQ(reason_of(life), StopReason::I8042Reset);
    EXPECT_EQ(life.detail(), "by reboot=k");
    const auto& state = life.state();
    EXPECT_EQ(state.pcr2, some_facts().pcr2);
    EXPECT_EQ(state.flags, api::shim::State::kMeasured);
    EXPECT_EQ(state.signature, static_cast<uint32_t>(api::shim::SignatureState::Valid));
    EXPECT_EQ(state.certificate_subject.text()->size(), 256U);
    EXPECT_EQ(state.begun_ns, 5U);
    EXPECT_EQ(state.measured_ns, 6U);
    EXPECT_EQ(state.first_instruction_ns, 12U);
    EXPECT_EQ(state.ready_ns, 20U);
    EXPECT_EQ(state.app_exit_value, 3U);
    EXPECT_EQ(state.vcpu, 1U);
    EXPECT_EQ(state.ended_ns, 40U);
    EXPECT_EQ(state.vmm_pid, 77U);
}

TEST_F(LifecycleTest, TheVmmIsLaunchedOnceAndOnlyWithMeasurementsAtTheAttestor) {
    EXPECT_FALSE(life.memory_reserved().launch);
    EXPECT_FALSE(life.image_accepted(some_facts(), 6).launch);
    EXPECT_TRUE(life.attested().launch);
    EXPECT_FALSE(life.attested().launch);
    EXPECT_FALSE(life.memory_reserved().launch);
}

TEST_F(LifecycleTest, TheGuestBeginsWhileItsMemoryIsReservedAndRunsWhenAllIsThere) {
    life.image_accepted(some_facts(), 6);
    life.attested();
    EXPECT_TRUE(life.memory_usable().launch);
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    EXPECT_EQ(life.phase(), Phase::Starting);

    EXPECT_FALSE(life.memory_reserved().launch);

    EXPECT_EQ(life.phase(), Phase::Running);
    life.ready({.time_ns = 20, .answered_by = 1, .reserved = {}});
    EXPECT_EQ(life.phase(), Phase::Ready);
}

TEST_F(LifecycleTest, AGuestThatIsReadyBeforeItsMemoryIsWaitsForIt) {
    life.image_accepted(some_facts(), 6);
    life.attested();
    life.memory_usable();
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    life.ready({.time_ns = 20, .answered_by = 1, .reserved = {}});
    EXPECT_EQ(life.phase(), Phase::Starting);

    life.memory_reserved();

    EXPECT_EQ(life.phase(), Phase::Ready);
    EXPECT_EQ(life.state().ready_ns, 20U);
}

TEST_F(LifecycleTest, MemoryThatIsMissingBehindAGuestThatBeganIsAFailureOfTheLaunch) {
    life.image_accepted(some_facts(), 6);
    life.attested();
    life.memory_usable();
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});

    EXPECT_TRUE(life.preparation_failed(Error(ErrorCode::NoFreeMemory, "too little")).kill);

    EXPECT_EQ(reason_of(life), StopReason::LaunchFailed);
    EXPECT_EQ(life.state().error_code, static_cast<uint32_t>(ErrorCode::NoFreeMemory));
}

TEST_F(LifecycleTest, StartedTwiceBreaksTheProtocolAlsoWhileMemoryIsReserved) {
    life.image_accepted(some_facts(), 6);
    life.attested();
    life.memory_usable();
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});

    EXPECT_TRUE(
        life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12}).kill);
}

TEST_F(LifecycleTest, ABadImageEndsItWithTheCodeOfTheError) {
    const auto effects = life.preparation_failed(Error(ErrorCode::ImageCrc, "sum").context("image"));
    EXPECT_TRUE(effects.kill);
    EXPECT_TRUE(effects.stop_preparing);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::LaunchFailed);
    EXPECT_EQ(life.state().error_code, static_cast<uint32_t>(ErrorCode::ImageCrc));
    EXPECT_EQ(life.detail(), "image: sum");
    EXPECT_EQ(life.state().exit_status, 128U + SIGKILL);
}

TEST_F(LifecycleTest, OnlyTheFirstFailureCounts) {
    life.preparation_failed(Error(ErrorCode::ImageCrc, "sum"));
    life.preparation_failed(Error(ErrorCode::NoFreeMemory, "memory"));
    EXPECT_FALSE(life.image_accepted(some_facts(), 6).attest);

    EXPECT_EQ(life.state().error_code, static_cast<uint32_t>(ErrorCode::ImageCrc));
    EXPECT_EQ(life.detail(), "sum");
    EXPECT_EQ(life.phase(), Phase::Stopping);
}

TEST_F(LifecycleTest, AVmmThatCanNotBuildTheMachineIsALaunchFailure) {
    prepare();

    EXPECT_TRUE(life.launch_refused(Error(ErrorCode::KernelInvalid, "no kernel")).kill);
    life.vmm_gone({.by_signal = false, .value = 1}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::LaunchFailed);
    EXPECT_EQ(life.state().error_code, static_cast<uint32_t>(ErrorCode::KernelInvalid));
}

TEST_F(LifecycleTest, ASignalWithoutAWordIsACrash) {
    run();

    life.vmm_gone({.by_signal = true, .value = SIGSEGV}, "last line", 9);

    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
    EXPECT_NE(life.detail().find("signal 11"), std::string::npos);
    EXPECT_NE(life.detail().find("last line"), std::string::npos);
    EXPECT_EQ(life.state().exit_status, 128U + SIGSEGV);
    EXPECT_EQ(life.state().vcpu, 0xffffU);
}

TEST_F(LifecycleTest, AnExitWithoutAWordIsACrashToo) {
    run();

    life.vmm_gone({.by_signal = false, .value = 0}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
    EXPECT_NE(life.detail().find("code 0"), std::string::npos);
}

TEST_F(LifecycleTest, AStopInOrderIsTheHostsRequest) {
    run();

    const auto effects = life.stop_requested(kPatience);
    EXPECT_TRUE(effects.send_stop);
    EXPECT_FALSE(effects.kill);
    EXPECT_EQ(effects.kill_after, kPatience);
    life.stopped(stopped_for(StopReason::HostRequest), "");
    life.vmm_gone({.by_signal = false, .value = 0}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::HostRequest);
}

TEST_F(LifecycleTest, AStopThatHasToBeForcedSaysSo) {
    run();
    life.stop_requested(kPatience);

    EXPECT_TRUE(life.overdue().kill);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::Killed);
}

TEST_F(LifecycleTest, AStopWithNoPatienceStillGivesTheVmmATurn) {
    run();

    EXPECT_GT(life.stop_requested(std::chrono::milliseconds(0)).kill_after.count(), 0);
}

TEST_F(LifecycleTest, AStopDuringPreparationNeedsNobodysConsent) {
    const auto effects = life.stop_requested(kPatience);
    EXPECT_TRUE(effects.kill);
    EXPECT_TRUE(effects.stop_preparing);
    EXPECT_FALSE(effects.send_stop);
    EXPECT_FALSE(life.memory_reserved().launch);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::HostRequest);
}

TEST_F(LifecycleTest, AGuestThatEndsWhileItIsStoppedKeepsItsOwnReason) {
    run();
    life.stop_requested(kPatience);

    life.stopped(stopped_for(StopReason::PowerOff), "");
    life.overdue();
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::PowerOff);
}

TEST_F(LifecycleTest, AVmmThatSaysStoppedAndStaysIsKilledWithItsReasonKept) {
    run();
    life.stopped(stopped_for(StopReason::TripleFault), "");

    EXPECT_TRUE(life.overdue().kill);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::TripleFault);
}

TEST_F(LifecycleTest, AVmmThatHangsUpIsGivenTimeThenKilled) {
    run();

    EXPECT_EQ(life.channel_lost().kill_after, Lifecycle::kExitGrace);
    EXPECT_EQ(life.phase(), Phase::Stopping);
    EXPECT_TRUE(life.overdue().kill);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
}

TEST_F(LifecycleTest, MessagesOutOfTurnAreAnsweredWithDeath) {
    const std::pair<const char*, std::function<Effects(Lifecycle&)>> moves[] = {
        {"started while copying", [](Lifecycle& one) { return one.started({}); }},
        {"ready while copying",
         [](Lifecycle& one) { return one.ready({.time_ns = 1, .answered_by = 1, .reserved = {}}); }},
        {"app exit of no known kind",
         [](Lifecycle& one) { return one.app_exited({.time_ns = 1, .kind = 9, .value = 0}); }},
        {"app exit while copying",
         [](Lifecycle& one) { return one.app_exited({.time_ns = 1, .kind = 1, .value = 0}); }},
        {"stopped while copying",
         [](Lifecycle& one) { return one.stopped(stopped_for(StopReason::PowerOff), ""); }},
        {"attestor lost while copying", [](Lifecycle& one) { return one.attestor_lost(); }},
        {"refused while copying",
         [](Lifecycle& one) { return one.launch_refused(Error(ErrorCode::Internal, "")); }},
    };
    for (const auto& [name, move] : moves) {
        Lifecycle one(api::VmId::parse("vm-1").value(), {}, 77, 5);

        EXPECT_TRUE(move(one).kill) << name;
        one.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);
        EXPECT_EQ(reason_of(one), StopReason::VmmCrashed) << name;
        EXPECT_NE(one.detail().find("broke the protocol"), std::string::npos) << name;
    }
}

TEST_F(LifecycleTest, WhatAGuestCanRepeatCountsOnce) {
    run();
    life.ready({.time_ns = 20, .answered_by = 1, .reserved = {}});
    life.app_exited({.time_ns = 30, .kind = 1, .value = 3});

    EXPECT_FALSE(life.ready({.time_ns = 21, .answered_by = 2, .reserved = {}}).kill);
    EXPECT_FALSE(life.app_exited({.time_ns = 31, .kind = 2, .value = 4}).kill);

    EXPECT_EQ(life.phase(), Phase::Ready);
    EXPECT_EQ(life.state().ready_ns, 20U);
    EXPECT_EQ(life.state().ready_answered_by, 1U);
    EXPECT_EQ(life.state().app_exit_value, 3U);
}

TEST_F(LifecycleTest, AMachineStartsOnce) {
    run();

    EXPECT_TRUE(life.started({}).kill);
}

TEST_F(LifecycleTest, ReasonsThatAVmmCanNotKnowAreNotBelieved) {
    for (const auto reason : {StopReason::Killed, StopReason::VmmCrashed, StopReason::LaunchFailed,
                              StopReason{0}, StopReason::HostRequest /* nobody asked */}) {
        Lifecycle one(api::VmId::parse("vm-1").value(), {}, 77, 5);
        one.image_accepted(some_facts(), 6);
        one.memory_reserved();
        one.attested();
        one.started({});

        EXPECT_TRUE(one.stopped(stopped_for(reason), "").kill);
        EXPECT_EQ(reason_of(one), StopReason::VmmCrashed);
    }
}

TEST_F(LifecycleTest, ALostAttestorIsLookedForAndTheEnclaveRunsOn) {
    run();

    EXPECT_TRUE(life.attestor_lost().resume_at_attestor);
    EXPECT_EQ(life.phase(), Phase::Running);
    life.attestor_resumed();
    life.ready({.time_ns = 20, .answered_by = 1, .reserved = {}});
    EXPECT_TRUE(life.attestor_lost().resume_at_attestor);
    EXPECT_EQ(life.phase(), Phase::Ready);
}

TEST_F(LifecycleTest, AVmmThatFloodsWithLostAttestorsIsKilled) {
    run();
    life.attestor_lost();

    EXPECT_TRUE(life.attestor_lost().kill);
    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
}

TEST_F(LifecycleTest, NobodyLooksForAnAttestorWhileTheEnclaveStops) {
    run();
    life.stop_requested(kPatience);

    const auto effects = life.attestor_lost();

    EXPECT_FALSE(effects.resume_at_attestor);
    EXPECT_FALSE(effects.kill);
}

TEST_F(LifecycleTest, TheAttestorIsToldOfTheEnd) {
    run();
    EXPECT_FALSE(life.stop_requested(kPatience).leave_attestor);

    EXPECT_TRUE(life.vmm_gone({.by_signal = false, .value = 0}, "", 9).leave_attestor);
}

TEST_F(LifecycleTest, NothingMovesAfterTheEnd) {
    run();
    life.vmm_gone({.by_signal = true, .value = SIGSEGV}, "", 9);

    EXPECT_FALSE(life.stop_requested(kPatience).send_stop);
    EXPECT_FALSE(life.overdue().kill);
    life.channel_lost();
    life.vmm_gone({.by_signal = false, .value = 0}, "", 10);

    EXPECT_TRUE(life.has_ended());
    EXPECT_EQ(life.state().ended_ns, 9U);
}

struct PrimaryLifecycleTest : testing::Test {
    Lifecycle life{api::VmId::parse("i-1").value(), {.role = api::VmRole::Primary}, 77, 5};

    void run() {
        life.image_accepted(some_facts(), 6);
        life.memory_reserved();
        life.life_begun(78);
        life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    }
};

TEST_F(PrimaryLifecycleTest, IsLaunchedWithoutAttestation) {
    EXPECT_FALSE(life.image_accepted(some_facts(), 6).attest);
    EXPECT_EQ(life.state().flags & api::shim::State::kMeasured, 0U);
    EXPECT_TRUE(life.memory_reserved().launch);
    EXPECT_EQ(life.phase(), Phase::Starting);
}

TEST_F(PrimaryLifecycleTest, MemoryThatIsThereFirstWaitsForTheImage) {
    EXPECT_FALSE(life.memory_reserved().launch);
    EXPECT_TRUE(life.image_accepted(some_facts(), 6).launch);
}

TEST_F(PrimaryLifecycleTest, AResetBeginsAnotherLifeWhenTheVmmIsGone) {
    run();
    EXPECT_EQ(life.state().vmm_pid, 78U);

    const auto stopped = life.stopped(stopped_for(StopReason::I8042Reset), "");
    EXPECT_EQ(stopped.kill_after, Lifecycle::kExitGrace);
    EXPECT_EQ(life.phase(), Phase::Reserving);
    EXPECT_FALSE(life.channel_lost().stop_preparing);
    EXPECT_TRUE(life.life_ended({}, "").begin_anew);
    EXPECT_TRUE(life.memory_reserved().launch);
    life.started({.launch_received_ns = 20, .image_loaded_ns = 21, .first_instruction_ns = 22});

    EXPECT_EQ(life.phase(), Phase::Running);
    EXPECT_EQ(life.state().restarts, 1U);
    EXPECT_EQ(life.state().reason, 0U);
}

TEST_F(PrimaryLifecycleTest, APowerOffEndsIt) {
    run();
    life.stopped(stopped_for(StopReason::PowerOff), "");

    EXPECT_TRUE(life.life_ended({.by_signal = false, .value = 3}, "").end_lives);
    life.vmm_gone({.by_signal = false, .value = 0}, "", 40);

    EXPECT_EQ(life.phase(), Phase::Ended);
    EXPECT_EQ(reason_of(life), StopReason::PowerOff);
    EXPECT_EQ(life.state().exit_status, 3U);
    EXPECT_EQ(life.state().restarts, 0U);
}

TEST_F(PrimaryLifecycleTest, ACrashOfItsVmmEndsIt) {
    run();
    life.channel_lost();

    EXPECT_TRUE(life.life_ended({.by_signal = true, .value = SIGSEGV}, "bad").end_lives);

    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
    EXPECT_EQ(life.state().exit_status, 128U + SIGSEGV);
}

TEST_F(PrimaryLifecycleTest, AVmmThatDoesNotExitAfterAResetIsKilled) {
    run();
    life.stopped(stopped_for(StopReason::AcpiReset), "");

    EXPECT_TRUE(life.overdue().kill);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 40);

    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
}

TEST_F(PrimaryLifecycleTest, AStopDuringAResetIsTheEnd) {
    run();
    life.stopped(stopped_for(StopReason::I8042Reset), "");

    EXPECT_TRUE(life.stop_requested(kPatience).kill);
    EXPECT_FALSE(life.life_ended({}, "").begin_anew);
    life.vmm_gone({}, "", 40);

    EXPECT_EQ(reason_of(life), StopReason::HostRequest);
}

TEST_F(PrimaryLifecycleTest, ALifeThatIsRefusedIsNotALaunchThatFailed) {
    run();
    life.stopped(stopped_for(StopReason::I8042Reset), "");
    life.life_ended({}, "");

    EXPECT_TRUE(life.preparation_failed(Error(ErrorCode::NoFreeMemory, "none")).kill);

    EXPECT_EQ(reason_of(life), StopReason::RestartFailed);
    EXPECT_EQ(life.state().error_code, static_cast<uint32_t>(ErrorCode::NoFreeMemory));
}

TEST_F(PrimaryLifecycleTest, WhatOnlyAnEnclaveSaysBreaksTheProtocol) {
    const std::function<Effects(Lifecycle&)> words[] = {
        [](Lifecycle& one) { return one.ready({.time_ns = 1, .answered_by = 1, .reserved = {}}); },
        [](Lifecycle& one) { return one.app_exited({.time_ns = 1, .kind = 1, .value = 0}); },
        [](Lifecycle& one) { return one.attestor_lost(); },
    };
    for (const auto& word : words) {
        Lifecycle one{api::VmId::parse("i-1").value(), {.role = api::VmRole::Primary}, 77, 5};
        one.image_accepted(some_facts(), 6);
        one.memory_reserved();
        one.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});

        EXPECT_TRUE(word(one).kill);
        EXPECT_EQ(reason_of(one), StopReason::VmmCrashed);
    }
}

TEST_F(PrimaryLifecycleTest, WithoutEnclavesItsVmmAsksForNoLine) {
    run();

    EXPECT_TRUE(life.ne_line_wanted().kill);
}

struct CarvingLifecycleTest : PrimaryLifecycleTest {
    CarvingLifecycleTest() {
        life = {api::VmId::parse("i-1").value(), {.role = api::VmRole::Primary, .enclaves = true}, 77, 5};
    }
};

TEST_F(CarvingLifecycleTest, ItsVmmGetsALineForEachItAsksFor) {
    run();
    EXPECT_FALSE(life.is_ne_line_wanted());

    EXPECT_TRUE(life.ne_line_wanted().ask_for_ne_line);
    EXPECT_TRUE(life.is_ne_line_wanted());
    EXPECT_TRUE(life.is_life(0));
    life.ne_line_given();
    EXPECT_FALSE(life.is_ne_line_wanted());
    EXPECT_TRUE(life.ne_line_wanted().ask_for_ne_line);
}

TEST_F(CarvingLifecycleTest, ALineCanBeAskedForBeforeTheGuestRuns) {
    life.image_accepted(some_facts(), 6);
    life.memory_reserved();

    EXPECT_TRUE(life.ne_line_wanted().ask_for_ne_line);
    EXPECT_EQ(life.phase(), Phase::Starting);
}

TEST_F(CarvingLifecycleTest, ThereIsNoLineBeforeAllMemoryIsThere) {
    life.image_accepted(some_facts(), 6);
    life.memory_usable();
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    EXPECT_FALSE(life.ne_line_wanted().ask_for_ne_line);
    EXPECT_FALSE(life.is_ne_line_wanted());

    EXPECT_TRUE(life.memory_reserved().ask_for_ne_line);
    EXPECT_TRUE(life.is_ne_line_wanted());
}

TEST_F(CarvingLifecycleTest, AResetBeforeAllMemoryIsThereBeginsAnotherLife) {
    life.image_accepted(some_facts(), 6);
    life.memory_usable();
    life.started({.launch_received_ns = 10, .image_loaded_ns = 11, .first_instruction_ns = 12});
    life.stopped(stopped_for(StopReason::I8042Reset), "");

    EXPECT_TRUE(life.life_ended({}, "").begin_anew);
    EXPECT_TRUE(life.memory_usable().launch);
}

TEST_F(CarvingLifecycleTest, AVmmThatAsksTwiceForALineIsKilled) {
    run();
    life.ne_line_wanted();

    EXPECT_TRUE(life.ne_line_wanted().kill);
    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
    EXPECT_NE(life.detail().find("NeLineWanted out of turn"), std::string::npos);
}

TEST_F(CarvingLifecycleTest, ALineThatAFormerLifeWantedIsNotTheNextOnes) {
    run();
    life.ne_line_wanted();
    life.stopped(stopped_for(StopReason::I8042Reset), "");
    EXPECT_FALSE(life.is_ne_line_wanted());
    life.life_ended({}, "");
    EXPECT_FALSE(life.is_ne_line_wanted());
    EXPECT_FALSE(life.is_life(0));
    life.memory_reserved();

    EXPECT_TRUE(life.ne_line_wanted().ask_for_ne_line);
    EXPECT_TRUE(life.is_life(1));
}

TEST_F(CarvingLifecycleTest, AWishForALineBetweenTwoLivesBreaksTheProtocol) {
    run();
    life.stopped(stopped_for(StopReason::I8042Reset), "");

    EXPECT_TRUE(life.ne_line_wanted().kill);
}

struct CarvedLifecycleTest : testing::Test {
    Lifecycle life{api::VmId::parse("vm-1").value(), {.carved = true}, 77, 5};
};

TEST_F(CarvedLifecycleTest, GathersIsBegunAndGoesOnAsAnyEnclave) {
    EXPECT_EQ(life.phase(), Phase::Gathering);

    EXPECT_TRUE(life.begin(Lifecycle::Mode::Debug).take_image);
    EXPECT_EQ(life.phase(), Phase::Copying);
    EXPECT_TRUE(life.has_console());
    EXPECT_EQ(life.state().flags & api::shim::State::kDebug, api::shim::State::kDebug);
    const auto accepted = life.image_accepted(some_facts(), 6);
    EXPECT_TRUE(accepted.clear_memory);
    EXPECT_TRUE(accepted.attest);
    EXPECT_FALSE(life.attested().launch);
    EXPECT_TRUE(life.memory_usable().launch) << "that is, cleared";
    EXPECT_EQ(life.phase(), Phase::Starting);
    EXPECT_TRUE(life.started({}).complete_memory);
    EXPECT_EQ(life.phase(), Phase::Starting) << "it runs when all of its memory is there";
    life.memory_reserved();
    EXPECT_EQ(life.phase(), Phase::Running);
}

TEST_F(CarvedLifecycleTest, MemoryThatDoesNotComeInTheEndIsALaunchFailure) {
    life.begin(Lifecycle::Mode::Production);
    life.image_accepted(some_facts(), 6);
    life.attested();
    life.memory_usable();
    life.started({});

    EXPECT_TRUE(life.preparation_failed(Error(ErrorCode::OutOfMemory, "none")).kill);
    EXPECT_EQ(reason_of(life), StopReason::LaunchFailed);
}

TEST_F(CarvedLifecycleTest, IsBegunOnce) {
    life.begin(Lifecycle::Mode::Production);

    EXPECT_FALSE(life.begin(Lifecycle::Mode::Debug).take_image);
    EXPECT_FALSE(life.has_console());
}

TEST_F(CarvedLifecycleTest, AStopWhileItGathersNeedsNobodysConsent) {
    EXPECT_TRUE(life.stop_requested(kPatience).kill);
    EXPECT_FALSE(life.begin(Lifecycle::Mode::Production).take_image);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::HostRequest);
}

TEST_F(CarvedLifecycleTest, AVmmThatTalksBeforeItsLaunchIsKilled) {
    EXPECT_TRUE(life.started({}).kill);
    EXPECT_EQ(reason_of(life), StopReason::VmmCrashed);
}

TEST_F(CarvedLifecycleTest, MemoryThatIsWantedBackIsTheEndAtOnce) {
    life.begin(Lifecycle::Mode::Production);
    life.image_accepted(some_facts(), 6);
    life.memory_reserved();
    life.attested();
    life.started({});

    const auto effects = life.memory_wanted_back();
    EXPECT_TRUE(effects.kill);
    EXPECT_TRUE(effects.stop_preparing);
    life.vmm_gone({.by_signal = true, .value = SIGKILL}, "", 9);

    EXPECT_EQ(reason_of(life), StopReason::Killed);
    EXPECT_FALSE(life.memory_wanted_back().kill) << "nothing moves after the end";
}

TEST_F(CarvedLifecycleTest, AnEndThatHadAReasonKeepsItWhenMemoryIsWantedBack) {
    life.begin(Lifecycle::Mode::Production);
    life.preparation_failed(Error(ErrorCode::ImageCrc, "sum"));

    life.memory_wanted_back();

    EXPECT_EQ(reason_of(life), StopReason::LaunchFailed);
}

}  // namespace
}  // namespace alcove::enclave
