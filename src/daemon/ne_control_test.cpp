// SPDX-License-Identifier: Apache-2.0
#include "daemon/ne_control.hpp"

#include <cerrno>
#include <deque>

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ne/message_codec.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::daemon {
namespace {

using memory::GuestAddress;
using testing::ElementsAre;
using testing::IsEmpty;
namespace messages = api::ne;

ne::Parent parent() {
    return {.ram = {{GuestAddress(0), 1_GiB}}, .core_of_vcpu = {0, 0, 2, 2}};
}

// Does nothing until the test says so, or at once.
class FakeHost : public NeControl::Host {
  public:
    void open_slot(ne::SlotUid) override { log.push_back("open"); }
    void add_memory(const ne::work::AddMemory& work, Done done) override {
        log.push_back("add " + std::to_string(work.region.base.value() / 1_MiB) + "+" +
                      std::to_string(work.region.size / 1_MiB) + " at " +
                      std::to_string(work.enclave_offset / 1_MiB));
        take(std::move(done));
    }
    void start(const ne::Slot& slot, Done done) override {
        log.push_back("start cid " + std::to_string(ne::number(slot.cid)));
        take(std::move(done));
    }
    void stop(ne::SlotUid, Freed done) override {
        log.push_back("stop");
        take([done = std::move(done)](const Result<void>&) { done(); });
    }
    void free(ne::SlotUid, Freed done) override {
        log.push_back("free");
        take([done = std::move(done)](const Result<void>&) { done(); });
    }
    void protocol_broken(const Error&) override { log.push_back("broken"); }
    Result<host::CpuPolicy> policy(std::optional<host::CpuPolicy> wanted) override {
        log.push_back(wanted ? "policy " + std::string(host::to_string(*wanted)) : "policy?");
        if (refuses_policies) return fail(ErrorCode::Unsupported, "siblings can not be shared");
        if (wanted) current_policy = *wanted;
        return current_policy;
    }
    Result<void> save(const CarvingRecord& now) override {
        record = now;
        return {};
    }
    void finish(Result<void> outcome = {}) {
        auto done = std::move(waiting.front());
        waiting.pop_front();
        done(std::move(outcome));
    }

    bool held = false;
    bool refuses_policies = false;
    host::CpuPolicy current_policy = host::CpuPolicy::Dedicated;
    std::vector<std::string> log;
    std::deque<Done> waiting;
    CarvingRecord record;

  private:
    void take(Done done) {
        if (!held) return done({});
        waiting.push_back(std::move(done));
    }
};

class NeControlTest : public testing::Test {
  protected:
    NeControlTest() : loop_(EventLoop::create().value()) {
        control_ = NeControl::create(*loop_, parent(), host_).value();
        connect(0);
    }

    // As the VMM of this life does.
    void connect(uint32_t life) {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        vmm_ = std::make_unique<Channel>(std::move(pair.first));
        ASSERT_TRUE(control_->take_line(std::move(pair.second), life));
        ASSERT_TRUE(vmm_->send(api::encode_hello(messages::kProtocol, messages::kVersions)));
        settle();
    }
    void settle() {
        for (int turn = 0; turn < 20; ++turn) {
            loop_->post([] {});
            ASSERT_TRUE(loop_->run_once(std::chrono::milliseconds(0)));
        }
    }
    // The next message but Hellos; nothing when there is none.
    std::optional<Bytes> received() {
        for (int tries = 0; tries < 10;) {
            auto message = vmm_->receive_within(std::chrono::milliseconds(2));
            if (!message) {
                settle();
                ++tries;
                continue;
            }
            if (api::open_envelope(message->data)->type != api::Hello::kType) return std::move(message->data);
        }
        return std::nullopt;
    }
    void send(uint32_t number, const ne::Request& request) {
        ASSERT_TRUE(vmm_->send(ne::encode_request(number, request)));
        settle();
    }
    // rc of the reply that waits, and its number; {0, 1} when there is none.
    std::pair<uint32_t, int32_t> reply() {
        const auto message = received();
        if (!message) return {0, 1};
        const auto numbered = ne::decode_reply(api::open_envelope(*message).value());
        if (!numbered) return {0, 2};
        last_ = numbered->reply;
        return {numbered->id, ne::rc_of(numbered->reply)};
    }
    ne::SlotUid alloc(uint32_t number) {
        send(number, ne::SlotAlloc{.unused = 0});
        EXPECT_EQ(reply(), std::pair(number, 0));
        return ne::to_slot_uid(last_.slot_uid);
    }
    ne::SlotAddMem region(ne::SlotUid slot, uint64_t base, uint64_t size) {
        return {.slot_uid = ne::number(slot), .paddr = base, .size = size};
    }
    // 64 MiB, both vCPUs of a core, started.
    ne::SlotUid run_enclave() {
        const auto slot = alloc(1);
        send(2, region(slot, 64_MiB, 64_MiB));
        EXPECT_EQ(reply(), std::pair(2U, 0));
        for (uint32_t vcpu : {2U, 3U}) {
            send(vcpu + 1, ne::SlotAddVcpu{.slot_uid = ne::number(slot), .vcpu_id = vcpu, .padding = {}});
            EXPECT_EQ(reply(), std::pair(vcpu + 1, 0));
        }
        send(5, ne::EnclaveStart{.slot_uid = ne::number(slot), .enclave_cid = 0, .flags = 0});
        EXPECT_EQ(reply(), std::pair(5U, 0));
        return slot;
    }
    // alcoved is killed, and another takes up what was stored.
    void restart() {
        control_.reset();
        host_.waiting.clear();
        host_.log.clear();
        control_ = NeControl::restore(*loop_, parent(), host_, host_.record).value();
    }

    std::unique_ptr<EventLoop> loop_;
    FakeHost host_;
    std::unique_ptr<NeControl> control_;
    std::unique_ptr<Channel> vmm_;
    ne::Reply last_{};
};

TEST_F(NeControlTest, CommandsAreCarriedOutInTheirOrder) {
    const auto slot = run_enclave();

    EXPECT_THAT(host_.log, ElementsAre("open", "add 64+64 at 0", "start cid 16"));
    EXPECT_EQ(last_.enclave_cid, 16U);

    send(6, ne::EnclaveStop{.slot_uid = ne::number(slot)});
    EXPECT_EQ(reply(), std::pair(6U, 0));
    send(7, ne::SlotFree{.slot_uid = ne::number(slot)});
    EXPECT_EQ(reply(), std::pair(7U, 0));
    EXPECT_THAT(host_.log, ElementsAre("open", "add 64+64 at 0", "start cid 16", "stop", "free"));
    EXPECT_TRUE(host_.record.slots.slots.empty());
}

TEST_F(NeControlTest, AnswersAreOnDiskBeforeTheyAreGiven) {
    const auto slot = alloc(1);
    host_.held = true;
    send(2, region(slot, 64_MiB, 64_MiB));

    EXPECT_EQ(reply(), std::pair(0U, 1));
    EXPECT_TRUE(host_.record.slots.in_hand);
    EXPECT_TRUE(host_.record.last.in_hand);

    host_.finish();
    EXPECT_FALSE(host_.record.slots.in_hand);
    EXPECT_TRUE(host_.record.last.reply);
    settle();
    EXPECT_EQ(reply(), std::pair(2U, 0));
}

TEST_F(NeControlTest, WhatTheHostCanNotDoNeverWas) {
    const auto slot = alloc(1);
    host_.held = true;
    send(2, region(slot, 64_MiB, 64_MiB));
    host_.finish(fail(ErrorCode::OutOfMemory, "none"));
    settle();

    EXPECT_EQ(reply(), std::pair(2U, -ENOMEM));
    EXPECT_EQ(control_->table().carved().carved_bytes(), 0U);
}

TEST_F(NeControlTest, AnEnclaveThatEndsIsTold) {
    const auto slot = run_enclave();

    control_->enclave_ended(slot);
    control_->enclave_ended(slot);
    settle();

    const auto message = received();
    ASSERT_TRUE(message);
    const auto changed = api::decode<messages::SlotChanged>(api::open_envelope(*message).value());
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->slot_uid, ne::number(slot));
    EXPECT_EQ(changed->state, static_cast<uint16_t>(ne::SlotState::STOPPED));
    EXPECT_FALSE(received());
}

TEST_F(NeControlTest, AnEndDuringTheStartIsToldBehindItsAnswer) {
    const auto slot = alloc(1);
    send(2, region(slot, 64_MiB, 64_MiB));
    for (uint32_t vcpu : {2U, 3U})
        send(vcpu + 1, ne::SlotAddVcpu{.slot_uid = ne::number(slot), .vcpu_id = vcpu, .padding = {}});
    for (uint32_t number : {2U, 3U, 4U})
        EXPECT_EQ(reply(), std::pair(number, 0));
    host_.held = true;
    send(5, ne::EnclaveStart{.slot_uid = ne::number(slot), .enclave_cid = 0, .flags = 0});

    control_->enclave_ended(slot);
    host_.finish();
    settle();

    EXPECT_EQ(reply(), std::pair(5U, 0));
    const auto message = received();
    ASSERT_TRUE(message);
    EXPECT_EQ(api::open_envelope(*message)->type, messages::SlotChanged::kType);
}

TEST_F(NeControlTest, AReleaseFreesEverySlotAndIsTold) {
    run_enclave();
    ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 77, .reserved = {}})));
    settle();

    const auto message = received();
    ASSERT_TRUE(message);
    const auto released = api::decode<messages::Released>(api::open_envelope(*message).value());
    ASSERT_TRUE(released);
    EXPECT_EQ(released->request, 77U);
    EXPECT_TRUE(control_->table().slots().empty());
    EXPECT_EQ(host_.log.back(), "free");
    // Numbers go on.
    send(6, ne::SlotAlloc{.unused = 0});
    EXPECT_EQ(reply(), std::pair(6U, 0));
}

TEST_F(NeControlTest, AReleaseWaitsForTheCommandInHand) {
    const auto slot = alloc(1);
    host_.held = true;
    send(2, region(slot, 64_MiB, 64_MiB));
    ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 9, .reserved = {}})));
    settle();
    EXPECT_THAT(host_.log, ElementsAre("open", "add 64+64 at 0"));

    host_.finish();
    host_.finish();
    settle();

    EXPECT_EQ(host_.log.back(), "free");
    EXPECT_EQ(reply(), std::pair(2U, 0));
    const auto message = received();
    ASSERT_TRUE(message);
    EXPECT_EQ(api::open_envelope(*message)->type, messages::Released::kType);
}

TEST_F(NeControlTest, ACommandThatWasAnsweredIsNotDoneAgain) {
    const auto slot = alloc(1);
    send(2, region(slot, 64_MiB, 64_MiB));
    EXPECT_EQ(reply(), std::pair(2U, 0));
    restart();
    connect(0);

    send(2, region(slot, 64_MiB, 64_MiB));

    EXPECT_EQ(reply(), std::pair(2U, 0));
    EXPECT_THAT(host_.log, IsEmpty());
    EXPECT_EQ(control_->table().carved().carved_bytes(), 64_MiB);
}

TEST_F(NeControlTest, ACommandInHandIsGoneOnWithAfterARestart) {
    const auto slot = alloc(1);
    host_.held = true;
    send(2, region(slot, 64_MiB, 64_MiB));
    restart();
    EXPECT_THAT(host_.log, ElementsAre("add 64+64 at 0"));
    connect(0);
    send(2, region(slot, 64_MiB, 64_MiB));
    EXPECT_EQ(reply(), std::pair(0U, 1));

    host_.finish();
    settle();

    EXPECT_EQ(reply(), std::pair(2U, 0));
    EXPECT_THAT(host_.log, ElementsAre("add 64+64 at 0"));
}

TEST_F(NeControlTest, AnEndWhileThereIsNoLineIsToldOnTheNextOne) {
    const auto slot = run_enclave();
    restart();
    control_->enclave_ended(slot);

    connect(0);

    const auto message = received();
    ASSERT_TRUE(message);
    EXPECT_EQ(api::decode<messages::SlotChanged>(api::open_envelope(*message).value())->slot_uid,
              ne::number(slot));
}

TEST_F(NeControlTest, AReleaseIsGoneOnWithAfterARestart) {
    run_enclave();
    host_.held = true;
    ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 9, .reserved = {}})));
    settle();
    restart();
    EXPECT_THAT(host_.log, ElementsAre("free"));
    connect(0);
    ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 10, .reserved = {}})));
    settle();

    host_.finish();
    settle();

    const auto message = received();
    ASSERT_TRUE(message);
    EXPECT_EQ(api::decode<messages::Released>(api::open_envelope(*message).value())->request, 10U);
}

TEST_F(NeControlTest, ANewLifeBeginsWithNothingCarvedAndNumbersFromOne) {
    run_enclave();
    host_.held = true;
    connect(1);
    send(1, ne::SlotCount{.unused = 0});
    EXPECT_EQ(reply(), std::pair(0U, 1));

    host_.finish();
    settle();

    EXPECT_EQ(reply(), std::pair(1U, 0));
    EXPECT_EQ(last_.slot_count, 0U);
}

TEST_F(NeControlTest, ThePolicyIsSaidAndSet) {
    using messages::Policy;
    const auto ask = [this](uint32_t wanted) {
        EXPECT_TRUE(vmm_->send(api::encode(Policy{.request = 7, .policy = wanted})));
        settle();
        return received();
    };
    const auto policy_in = [](const std::optional<Bytes>& message) {
        const auto body = api::decode<Policy>(api::open_envelope(*message).value()).value();
        EXPECT_EQ(body.request, 7U);
        return uint32_t{body.policy};
    };

    EXPECT_EQ(policy_in(ask(Policy::kAsk)), Policy::kDedicated);
    EXPECT_EQ(policy_in(ask(Policy::kShared)), Policy::kShared);
    EXPECT_THAT(host_.log, ElementsAre("policy?", "policy shared"));
    host_.refuses_policies = true;
    const auto refused = ask(Policy::kDedicated);
    EXPECT_EQ(api::decode_failed(api::open_envelope(*refused).value())->error.code(), ErrorCode::Unsupported);
    ask(9);
    EXPECT_EQ(host_.log.back(), "broken");
}

TEST_F(NeControlTest, ACommandOutOfOrderBreaksTheLine) {
    alloc(1);
    send(5, ne::SlotCount{.unused = 0});

    EXPECT_EQ(host_.log.back(), "broken");
}

TEST_F(NeControlTest, AHangUpBreaksNothing) {
    const auto slot = run_enclave();
    vmm_.reset();
    settle();

    EXPECT_NE(host_.log.back(), "broken");
    EXPECT_NE(control_->table().find(slot), nullptr);
}

}  // namespace
}  // namespace alcove::daemon
