// SPDX-License-Identifier: Apache-2.0
//
// A primary VM's NE commands through the daemon: the test speaks as its VMM does.
#include <cerrno>

#include <gmock/gmock.h>

#include "daemon/supervisor_fixture_test.hpp"
#include "ne/message_codec.hpp"

namespace alcove::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace messages = api::ne;

class CarvingTest : public SupervisorTest {
  protected:
    CarvingTest() {
        auto launch = request("dev", 4);
        launch.role = api::VmRole::Primary;
        launch.memory_bytes = 512_MiB;
        launch.enclaves = true;
        primary_ = supervisor_->launch(std::move(launch)).value().id;
        EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Running; }));
        connect(0);
    }

    VmRecord record(const std::string& id) {
        auto found = supervisor_->find(id, api::VmRole::Primary);
        return found ? *found : supervisor_->find(id).value();
    }
    // The VMM asks its shim for a line, and speaks on it.
    void connect(uint32_t life) {
        host_.want_ne_line(primary_, life);
        Fd line;
        ASSERT_TRUE(until([&] {
            line = host_.ne_line(primary_);
            return line.is_open();
        }));
        vmm_ = std::make_unique<Channel>(std::move(line));
        ASSERT_TRUE(vmm_->send(api::encode_hello(messages::kProtocol, messages::kVersions)));
    }
    // The next message of alcoved but its Hello.
    Bytes received() {
        std::optional<Bytes> message;
        EXPECT_TRUE(until([&] {
            auto next = vmm_->receive_within(milliseconds(1));
            if (next && api::open_envelope(next->data)->type != api::Hello::kType) message = next->data;
            return message.has_value();
        }));
        return message.value_or(Bytes());
    }
    void send(const ne::Request& request) { ASSERT_TRUE(vmm_->send(ne::encode_request(++number_, request))); }
    ne::Reply ask(const ne::Request& request) {
        send(request);
        return reply();
    }
    ne::Reply reply() {
        const auto message = received();
        const auto envelope = api::open_envelope(message);
        EXPECT_TRUE(envelope);
        const auto numbered = ne::decode_reply(*envelope);
        EXPECT_TRUE(numbered) << numbered.error().to_string();
        EXPECT_EQ(numbered->id, number_);
        return numbered->reply;
    }
    int rc(const ne::Request& request) { return ne::rc_of(ask(request)); }

    // A slot with 128 MiB at 256 MiB and the second core.
    void prepare() {
        slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
        char digits[17];
        std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(slot_));
        enclave_ = primary_ + "-enc" + digits;
        ASSERT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB}), 0);
        for (const uint32_t vcpu : {2U, 3U})
            ASSERT_EQ(rc(ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = vcpu, .padding = {}}), 0);
    }
    void run_enclave(uint64_t flags = 0) {
        prepare();
        const auto reply = ask(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = flags});
        ASSERT_EQ(ne::rc_of(reply), 0);
        EXPECT_EQ(reply.enclave_cid, 16U);
        ASSERT_TRUE(until_state(enclave_, VmState::Running));
    }

    std::string primary_;
    std::string enclave_;
    uint64_t slot_ = 0;
    uint32_t number_ = 0;
    std::unique_ptr<Channel> vmm_;
};

TEST_F(CarvingTest, ThePrimaryIsToldItsShapeAndTheEnclaveNothingYet) {
    prepare();

    const auto launches = host_.launches();
    ASSERT_EQ(launches.size(), 2U);
    EXPECT_EQ(launches[0].flags, api::broker::Launch::kDedicated | api::broker::Launch::kEnclaves);
    EXPECT_EQ(launches[0].threads_per_core, 2U);
    EXPECT_EQ(launches[1].flags, api::broker::Launch::kCarved);
    EXPECT_EQ(launches[1].module_id.text(), enclave_);
    EXPECT_EQ(launches[1].host_cpus.to_list(), "0,1");
    EXPECT_EQ(launches[1].memory_bytes, 512_MiB);
    EXPECT_NE(launches[1].pcr4, PcrValue{});
}

TEST_F(CarvingTest, WhatAnEnclaveHoldsPassesFromThePrimaryAndBack) {
    const auto whole = supervisor_->grant(primary_).value();
    run_enclave();

    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);
    EXPECT_EQ(supervisor_->grant(enclave_)->cpus, (std::vector<host::CpuId>{{4}, {5}}));
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 384_MiB);
    EXPECT_EQ(supervisor_->grant(primary_)->cpus, (std::vector<host::CpuId>{{2}, {3}}));

    EXPECT_EQ(rc(ne::EnclaveStop{.slot_uid = slot_}), 0);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);

    EXPECT_EQ(supervisor_->grant(primary_), whole);
    EXPECT_EQ(record(enclave_).state, VmState::Stopped);
    EXPECT_THAT(host_.orders(),
                ElementsAre("add " + enclave_ + " 256+128 at 0", "cores " + primary_ + " 2,3",
                            "cores " + enclave_ + " 4,5", "begin " + enclave_, "join " + enclave_ + " with 3",
                            "join " + primary_ + " with 16", "leave " + primary_ + " and 16",
                            "give back " + enclave_, "cores " + primary_ + " 2,3,4,5"));
}

TEST_F(CarvingTest, AnEnclaveThatEndsIsToldAndKeepsItsMemoryUntilItIsFreed) {
    run_enclave();

    host_.end(enclave_, api::StopReason::I8042Reset);

    const auto message = received();
    const auto changed = api::decode<messages::SlotChanged>(api::open_envelope(message).value());
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->slot_uid, slot_);
    EXPECT_EQ(record(enclave_).state, VmState::Stopping);
    EXPECT_EQ(record(enclave_).reason, "i8042_reset");
    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);

    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(record(enclave_).state, VmState::Stopped);
    EXPECT_EQ(record(enclave_).reason, "i8042_reset");
}

TEST_F(CarvingTest, APrimaryHasTheConsoleOfADebugEnclaveOnly) {
    run_enclave(ne::EnclaveStart::DEBUG_MODE);

    EXPECT_THAT(host_.orders(), testing::Contains("join " + primary_ + " with 16, console"));
}

TEST_F(CarvingTest, ABadImageIsAnEventNotAnError) {
    host_.set_script(FakeHost::Script::Fail);
    prepare();

    EXPECT_EQ(rc(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0}), 0);

    const auto message = received();
    EXPECT_EQ(api::open_envelope(message)->type, messages::SlotChanged::kType);
    EXPECT_EQ(record(enclave_).error->code, ErrorCode::ImageCrc);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(record(enclave_).state, VmState::Failed);
}

TEST_F(CarvingTest, AGiveBackThatFindsNoMemoryIsTriedAgain) {
    run_enclave();
    host_.refuse_give_backs(enclave_, 1);

    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);

    const auto orders = host_.orders();
    EXPECT_EQ(std::count(orders.begin(), orders.end(), "give back " + enclave_), 2);
}

TEST_F(CarvingTest, ALaunchThatTheBrokerRefusesIsAnErrorOfTheFirstRegion) {
    host_.refuse_launches(Error(ErrorCode::KvmMissing, "none"));
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;

    EXPECT_LT(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB}), 0);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
}

TEST_F(CarvingTest, ABrokerThatIsAwayIsWaitedFor) {
    host_.close_broker();
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    send(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB});
    run_for(milliseconds(100));
    host_.open_broker();
    EXPECT_EQ(ne::rc_of(reply()), 0);
    for (const uint32_t vcpu : {2U, 3U})
        ASSERT_EQ(rc(ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = vcpu, .padding = {}}), 0);

    host_.close_broker();
    run_for(milliseconds(20));
    send(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0});
    run_for(milliseconds(100));
    host_.open_broker();

    EXPECT_EQ(ne::rc_of(reply()), 0);
}

TEST_F(CarvingTest, ASlotThatIsFreedWhileItsShimIsLaunchedIsGone) {
    host_.hold_launches(true);
    slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
    send(ne::SlotFree{.slot_uid = slot_});
    run_for(milliseconds(50));
    host_.hold_launches(false);

    EXPECT_EQ(ne::rc_of(reply()), 0);
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

TEST_F(CarvingTest, AReleaseFreesEverything) {
    run_enclave();
    ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 5, .reserved = {}})));

    const auto message = received();

    EXPECT_EQ(api::open_envelope(message)->type, messages::Released::kType);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
    EXPECT_EQ(host_.present(), std::vector{primary_});
}

TEST_F(CarvingTest, ALifeThatEndedWithoutAWordLeavesNoEnclaveBehind) {
    run_enclave();
    host_.reset(primary_);
    number_ = 0;

    connect(1);

    EXPECT_EQ(ask(ne::SlotCount{.unused = 0}).slot_count, 0U);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
}

TEST_F(CarvingTest, AnEnclaveEndsWithItsPrimary) {
    run_enclave();

    host_.end(primary_, api::StopReason::PowerOff);

    EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Stopped; }));
    EXPECT_TRUE(until_state(enclave_, VmState::Stopped));
    EXPECT_TRUE(ledger_->grants().empty());
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(CarvingTest, EverythingIsTakenUpAfterARestart) {
    run_enclave();
    restart();
    connect(0);

    // What was answered before is answered likewise.
    --number_;
    EXPECT_EQ(ask(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = 0}).enclave_cid, 16U);
    EXPECT_EQ(supervisor_->grant(enclave_)->memory_bytes(), 128_MiB);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
    EXPECT_EQ(record(enclave_).state, VmState::Stopped);
}

TEST_F(CarvingTest, AShimThatIsLostGivesNothingBackButIsFreed) {
    run_enclave();
    host_.kill_shim(enclave_);

    const auto message = received();
    EXPECT_EQ(api::open_envelope(message)->type, messages::SlotChanged::kType);
    EXPECT_EQ(rc(ne::SlotFree{.slot_uid = slot_}), 0);
    EXPECT_EQ(supervisor_->grant(primary_)->memory_bytes(), 512_MiB);
}

TEST_F(CarvingTest, ContextIdsOfAnotherFabricAreFree) {
    run_enclave();
    auto launch = request();
    launch.cid = 16;
    launch.vcpus = 1;

    const auto launched = supervisor_->launch(std::move(launch));

    // There is no core left, which is looked for behind the context id.
    EXPECT_THAT(launched.error().to_string(), HasSubstr("cores"));
}

TEST_F(CarvingTest, NonsenseOnTheLineEndsThePrimary) {
    ASSERT_TRUE(vmm_->send(api::encode(messages::Released{.request = 1, .reserved = {}})));

    EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Stopped; }));
}

}  // namespace
}  // namespace alcove::daemon
