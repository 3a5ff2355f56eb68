// SPDX-License-Identifier: Apache-2.0
#include "vmm/ne_backend.hpp"

#include <cerrno>

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machine/carvable_fake.hpp"
#include "ne/message_codec.hpp"
#include "support/system.hpp"

namespace alcove::vmm {
namespace {

namespace wire = api::ne;
using memory::GuestAddress;
using memory::GuestRange;
using std::chrono::milliseconds;
using testing::ElementsAre;

constexpr uint64_t kRam = 16_MiB;
constexpr uint64_t kHigh = machine::FakeCarvable::kHigh;
constexpr uint64_t kSlot = 0x70000;
constexpr uint64_t kOther = 0x80000;

GuestRange range(uint64_t base, uint64_t size) {
    return {GuestAddress(base), size};
}

ne::Request add_memory(uint64_t base, uint64_t size, uint64_t slot = kSlot) {
    return ne::SlotAddMem{.slot_uid = slot, .paddr = base, .size = size};
}

ne::Request free_slot(uint64_t slot = kSlot) {
    return ne::SlotFree{.slot_uid = slot};
}

class NeBackendTest : public testing::Test {
  protected:
    NeBackendTest() { backend.line().ask(); }

    // The shim gives a line to an alcoved that has just begun.
    void connect() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        alcoved = Channel(std::move(pair.first));
        EXPECT_TRUE(sys::set_non_blocking(alcoved.fd(), true));
        std::vector<Fd> descriptors;
        descriptors.push_back(std::move(pair.second));
        ASSERT_TRUE(backend.line().given(std::move(descriptors)));
        say(api::encode_hello(wire::kProtocol, wire::kVersions));
        EXPECT_TRUE(api::accept_hello(api::open_envelope(next()).value(), wire::kProtocol, wire::kVersions));
        run();
    }
    void lose_alcoved() {
        alcoved.release();
        run();
    }
    void run() {
        while (loop->run_once(milliseconds(0)).value() > 0) {
        }
    }
    void say(const Bytes& message) {
        ASSERT_TRUE(alcoved.send(message));
        run();
    }
    // What alcoved hears; nothing: silence.
    Bytes next() {
        run();
        auto message = alcoved.receive();
        return message ? std::move(message->data) : Bytes{};
    }
    // The number of the command that alcoved hears, which is this one.
    uint32_t heard(const ne::Request& request) {
        const auto message = next();
        const auto envelope = api::open_envelope(message);
        if (!envelope) return 0;
        const auto command = ne::decode_request(*envelope);
        if (!command) return 0;
        EXPECT_EQ(ne::encode_request(1, command->request), ne::encode_request(1, request));
        return command->id;
    }
    uint32_t heard_release() {
        const auto message = next();
        const auto envelope = api::open_envelope(message);
        const auto release = envelope ? api::decode<wire::ReleaseAll>(*envelope) : wire::ReleaseAll{};
        return release ? uint32_t{release->request} : 0;
    }
    void reply(uint32_t number, int32_t rc) {
        auto body = ne::success(ne::to_slot_uid(kSlot));
        if (rc != 0) body = ne::refusal(-rc);
        say(ne::encode_reply(number, body));
    }
    void say_released(uint32_t number) {
        say(api::encode(wire::Released{.request = number, .reserved = {}}));
    }

    void execute(const ne::Request& request) {
        backend.execute(request, [this](const ne::Reply& answer) { answers.push_back(ne::rc_of(answer)); });
    }
    void release() {
        backend.release_all([this] { ++released; });
    }
    void end_machine() {
        machine.never_parks = true;
        backend.machine_ended();
    }
    // Carries the command out as alcoved does.
    void carry_out(const ne::Request& request, int32_t rc = 0) {
        execute(request);
        const uint32_t number = heard(request);
        ASSERT_NE(number, 0U);
        reply(number, rc);
    }

    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    machine::FakeCarvable machine{*loop, kRam};
    int lines_wanted = 0;
    int slots_changed = 0;
    NeBackend backend{*loop,
                      machine,
                      {.ram = {range(0, kRam / 2), range(kHigh, kRam / 2)}, .core_of_vcpu = {0, 1}},
                      {.wanted = [this] { ++lines_wanted; }, .slot_changed = [this] { ++slots_changed; }}};
    Channel alcoved;  // its end
    std::vector<int32_t> answers;
    int released = 0;
};

TEST_F(NeBackendTest, CommandsWaitUntilThereIsALine) {
    execute(ne::SlotAlloc{});
    run();
    EXPECT_EQ(lines_wanted, 1);

    connect();

    EXPECT_EQ(heard(ne::SlotAlloc{}), 1U);
    reply(1, 0);
    EXPECT_THAT(answers, ElementsAre(0));
    execute(ne::SlotCount{});
    EXPECT_EQ(heard(ne::SlotCount{}), 2U);
    EXPECT_EQ(lines_wanted, 1);
}

TEST_F(NeBackendTest, MemoryIsWithdrawnBeforeAlcovedIsAsked) {
    connect();
    machine.never_parks = true;
    execute(add_memory(kHigh, 2_MiB));
    EXPECT_EQ(next(), Bytes{}) << "the vCPUs are in the guest";
    machine.park();

    EXPECT_EQ(heard(add_memory(kHigh, 2_MiB)), 1U);
    EXPECT_THAT(machine.absent, ElementsAre(range(kHigh, 2_MiB)));
}

TEST_F(NeBackendTest, MemoryThatAlcovedTakesStaysOutOfSight) {
    connect();

    carry_out(add_memory(kHigh, 4_MiB));

    EXPECT_THAT(answers, ElementsAre(0));
    EXPECT_THAT(machine.absent, ElementsAre(range(kHigh, 4_MiB)));
    EXPECT_FALSE(machine.memory()->is_ram(range(kHigh, 4_KiB)));
    EXPECT_EQ(backend.counters().bytes_withdrawn, 4_MiB);
}

TEST_F(NeBackendTest, NonsenseIsRefusedWithoutAPauseOrAWord) {
    connect();
    carry_out(add_memory(2_MiB, 2_MiB));
    for (const auto& request : {add_memory(2_MiB, 0), add_memory(1_MiB, 2_MiB), add_memory(kRam, 2_MiB),
                                add_memory(~uint64_t{0} - 2_MiB + 1, 4_MiB)})
        execute(request);
    execute(add_memory(0, 4_MiB, kOther));

    EXPECT_THAT(answers, ElementsAre(0, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EBUSY));
    EXPECT_EQ(next(), Bytes{});
    EXPECT_EQ(backend.counters().pauses, 1U);
}

TEST_F(NeBackendTest, MemoryThatAlcovedRefusesIsBackBeforeTheDriverHearsOfIt) {
    connect();
    carry_out(add_memory(0, 2_MiB));

    execute(add_memory(2_MiB, 2_MiB));
    const uint32_t number = heard(add_memory(2_MiB, 2_MiB));
    machine.never_parks = true;
    reply(number, -ENOMEM);
    EXPECT_THAT(answers, ElementsAre(0)) << "it is not back yet";
    machine.park();
    run();

    EXPECT_THAT(answers, ElementsAre(0, -ENOMEM));
    EXPECT_THAT(machine.absent, ElementsAre(range(0, 2_MiB)));
    EXPECT_TRUE(machine.memory()->is_ram(range(2_MiB, 2_MiB)));
}

TEST_F(NeBackendTest, ARefusedRegionCanBeAskedForAgain) {
    connect();
    carry_out(add_memory(0, 2_MiB), -ENOMEM);
    EXPECT_TRUE(machine.absent.empty());
    EXPECT_TRUE(machine.memory()->is_ram(range(0, kRam / 2)));

    carry_out(add_memory(0, 2_MiB));

    EXPECT_THAT(answers, ElementsAre(-ENOMEM, 0));
    EXPECT_THAT(machine.absent, ElementsAre(range(0, 2_MiB)));
}

TEST_F(NeBackendTest, AFreedSlotsMemoryIsBackAndNoOthers) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    carry_out(add_memory(kHigh, 2_MiB, kOther));
    carry_out(add_memory(4_MiB, 2_MiB));
    const uint64_t pauses = backend.counters().pauses;

    carry_out(free_slot());

    EXPECT_THAT(answers, ElementsAre(0, 0, 0, 0));
    EXPECT_THAT(machine.absent, ElementsAre(range(kHigh, 2_MiB)));
    EXPECT_EQ(backend.counters().pauses, pauses + 1);
    carry_out(add_memory(0, 2_MiB, kOther));
    EXPECT_EQ(answers.back(), 0);
}

TEST_F(NeBackendTest, AFreeThatIsRefusedGivesNothingBack) {
    connect();
    carry_out(add_memory(0, 2_MiB));

    carry_out(free_slot(), -EINVAL);

    EXPECT_THAT(answers, ElementsAre(0, -EINVAL));
    EXPECT_THAT(machine.absent, ElementsAre(range(0, 2_MiB)));
}

TEST_F(NeBackendTest, SlotsThatKvmRefusesAreAnErrorToTheDriverAndTheMachinesEnd) {
    connect();
    machine.refuses_slots = true;

    execute(add_memory(0, 2_MiB));
    run();

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_LT(answers[0], 0);
    EXPECT_EQ(machine.given_up, 1);
    EXPECT_EQ(next(), Bytes{});
}

// ---- What root in the primary asks ----

TEST_F(NeBackendTest, ThePolicyIsAskedOfAlcovedAndItsRefusalPassedOn) {
    std::vector<Result<uint32_t>> answered;
    const auto ask = [&](uint32_t wanted) {
        backend.line().policy(wanted, [&](Result<uint32_t> now) { answered.push_back(std::move(now)); });
    };
    ask(wire::Policy::kAsk);
    EXPECT_EQ(answered.at(0).error().code(), ErrorCode::ConnectionLost) << "there is no line yet";
    connect();
    ask(wire::Policy::kShared);
    ask(wire::Policy::kDedicated);
    const auto heard = [this] {
        const auto message = next();
        return api::decode<wire::Policy>(api::open_envelope(message).value()).value();
    };
    const auto first = heard();
    const auto second = heard();
    EXPECT_EQ(first.policy, wire::Policy::kShared);
    EXPECT_EQ(second.policy, wire::Policy::kDedicated);

    say(api::encode_failed(second.request, Error(ErrorCode::Unsupported, "no")));
    say(api::encode(first));

    ASSERT_EQ(answered.size(), 3U);
    EXPECT_EQ(answered[1].error().code(), ErrorCode::Unsupported);
    EXPECT_EQ(answered[2].value(), wire::Policy::kShared);
    ask(wire::Policy::kAsk);
    lose_alcoved();
    EXPECT_EQ(answered.at(3).error().code(), ErrorCode::ConnectionLost);
}

// ---- Lines that end ----

TEST_F(NeBackendTest, ACommandThatWasNotAnsweredIsSaidAgainWithItsNumber) {
    connect();
    execute(add_memory(0, 2_MiB));
    EXPECT_EQ(heard(add_memory(0, 2_MiB)), 1U);

    lose_alcoved();
    EXPECT_EQ(lines_wanted, 2);
    run();
    EXPECT_EQ(lines_wanted, 2) << "once";
    connect();

    EXPECT_EQ(heard(add_memory(0, 2_MiB)), 1U);
    EXPECT_EQ(backend.counters().pauses, 1U) << "the memory is out of sight already";
    reply(1, 0);
    EXPECT_THAT(answers, ElementsAre(0));
}

TEST_F(NeBackendTest, ACommandThatWasAnsweredIsNotSaidAgain) {
    connect();
    carry_out(ne::SlotAlloc{});

    lose_alcoved();
    connect();

    EXPECT_EQ(next(), Bytes{});
    execute(ne::SlotCount{});
    EXPECT_EQ(heard(ne::SlotCount{}), 2U);
}

TEST_F(NeBackendTest, MemoryIsWithdrawnWhileThereIsNoLine) {
    connect();
    lose_alcoved();

    execute(add_memory(0, 2_MiB));
    run();
    EXPECT_THAT(machine.absent, ElementsAre(range(0, 2_MiB)));
    connect();

    EXPECT_EQ(heard(add_memory(0, 2_MiB)), 1U);
}

TEST_F(NeBackendTest, ALineThatNobodyAskedForIsAnErrorOfTheShims) {
    connect();
    auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(pair.first));

    EXPECT_FALSE(backend.line().given(std::move(descriptors)));
    lose_alcoved();
    EXPECT_FALSE(backend.line().given({}));
}

TEST_F(NeBackendTest, AlcovedThatMakesNoSenseIsLeftForAnother) {
    const std::vector<Bytes> nonsense = {
        ne::encode_reply(1, ne::refusal(EINVAL)),  // to no command
        api::encode(wire::Released{.request = 1, .reserved = {}}),
        api::encode(wire::ReleaseAll{.request = 1, .reserved = {}}),
        api::encode(wire::SlotChanged{.slot_uid = kSlot, .state = 7, .reserved = {}}),
        {1, 2, 3},
    };
    for (const auto& message : nonsense) {
        connect();
        const int wanted = lines_wanted;

        say(message);

        EXPECT_EQ(lines_wanted, wanted + 1);
    }
    connect();
    auto pipe = sys::pipe().value();
    ASSERT_TRUE(alcoved.send(api::encode(wire::SlotChanged{.slot_uid = kSlot, .state = 2, .reserved = {}}),
                             {pipe.first.get()}));
    run();
    EXPECT_EQ(lines_wanted, 7);
    EXPECT_EQ(slots_changed, 0);
}

TEST_F(NeBackendTest, AReplyToAnotherCommandIsNotTaken) {
    connect();
    execute(ne::SlotAlloc{});
    ASSERT_EQ(heard(ne::SlotAlloc{}), 1U);

    reply(2, 0);

    EXPECT_TRUE(answers.empty());
    connect();
    EXPECT_EQ(heard(ne::SlotAlloc{}), 1U);
}

TEST_F(NeBackendTest, ASlotThatEndedByItselfIsTold) {
    connect();

    say(api::encode(wire::SlotChanged{.slot_uid = kSlot, .state = 0xffff, .reserved = {}}));

    EXPECT_EQ(slots_changed, 1);
    EXPECT_EQ(lines_wanted, 1);
}

// ---- Releases ----

TEST_F(NeBackendTest, AReleaseBringsEverythingBack) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    carry_out(add_memory(kHigh, 4_MiB, kOther));

    release();
    EXPECT_EQ(heard_release(), 1U);
    EXPECT_EQ(released, 0);
    EXPECT_EQ(machine.absent.size(), 2U) << "alcoved has them still";
    say_released(1);

    EXPECT_EQ(released, 1);
    EXPECT_TRUE(machine.absent.empty());
    EXPECT_TRUE(machine.memory()->is_ram(range(kHigh, kRam / 2)));
    carry_out(add_memory(0, 2_MiB));
    EXPECT_THAT(answers, ElementsAre(0, 0, 0));
    release();
    EXPECT_EQ(heard_release(), 2U) << "a number of its own";
}

TEST_F(NeBackendTest, AReleaseEndsACommandThatIsBeingWithdrawn) {
    connect();
    execute(add_memory(0, 2_MiB));
    release();
    EXPECT_EQ(heard_release(), 1U) << "without the command, which alcoved does not know";
    say_released(1);

    EXPECT_TRUE(answers.empty());
    EXPECT_EQ(released, 1);
    EXPECT_TRUE(machine.absent.empty());
    execute(ne::SlotAlloc{});
    EXPECT_EQ(heard(ne::SlotAlloc{}), 1U) << "numbers count what was said";
}

TEST_F(NeBackendTest, AReleaseEndsACommandThatAlcovedHas) {
    connect();
    execute(add_memory(0, 2_MiB));
    ASSERT_EQ(heard(add_memory(0, 2_MiB)), 1U);

    release();
    EXPECT_EQ(heard_release(), 1U);
    reply(1, 0);  // before Released, or never
    say_released(1);

    EXPECT_TRUE(answers.empty());
    EXPECT_EQ(released, 1);
    EXPECT_TRUE(machine.absent.empty());
    execute(ne::SlotAlloc{});
    EXPECT_EQ(heard(ne::SlotAlloc{}), 2U);
}

TEST_F(NeBackendTest, AReleaseWaitsForWhatIsBeingReadmitted) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    carry_out(add_memory(2_MiB, 2_MiB, kOther));
    execute(free_slot());
    const uint32_t number = heard(free_slot());
    ASSERT_TRUE(alcoved.send(ne::encode_reply(number, ne::success(ne::to_slot_uid(kSlot)))));
    ASSERT_TRUE(loop->run_once(milliseconds(0)));

    release();
    EXPECT_EQ(heard_release(), 1U);
    say_released(1);

    EXPECT_THAT(answers, ElementsAre(0, 0)) << "of the memory";
    EXPECT_EQ(released, 1);
    EXPECT_TRUE(machine.absent.empty());
}

TEST_F(NeBackendTest, AReleaseIsSaidAgainBehindTheCommandThatItEnded) {
    connect();
    execute(add_memory(0, 2_MiB));
    ASSERT_EQ(heard(add_memory(0, 2_MiB)), 1U);
    release();
    ASSERT_EQ(heard_release(), 1U);

    lose_alcoved();
    connect();

    EXPECT_EQ(heard(add_memory(0, 2_MiB)), 1U) << "alcoved may not have heard of it";
    EXPECT_EQ(heard_release(), 1U);
    say_released(1);
    EXPECT_EQ(released, 1);
    EXPECT_TRUE(answers.empty());
    EXPECT_TRUE(machine.absent.empty());
}

// ---- The machine's end ----

TEST_F(NeBackendTest, AMachineThatEndsIdleWaitsForAlcovedOnly) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    end_machine();

    release();
    ASSERT_EQ(heard_release(), 1U);
    EXPECT_EQ(released, 0);
    say_released(1);

    EXPECT_EQ(released, 1);
    EXPECT_THAT(machine.absent, ElementsAre(range(0, 2_MiB))) << "nobody is there who could see it";
}

TEST_F(NeBackendTest, AMachineThatEndsWhileItsVcpusAreParkedIsReleased) {
    connect();
    machine.never_parks = true;
    execute(add_memory(0, 2_MiB));
    run();
    end_machine();

    release();
    ASSERT_EQ(heard_release(), 1U);
    say_released(1);

    EXPECT_EQ(released, 1);
    EXPECT_TRUE(answers.empty());
}

TEST_F(NeBackendTest, AMachineThatEndsWhileAlcovedHasACommandIsReleased) {
    connect();
    execute(add_memory(0, 2_MiB));
    ASSERT_EQ(heard(add_memory(0, 2_MiB)), 1U);
    end_machine();

    release();
    ASSERT_EQ(heard_release(), 1U);
    reply(1, -ENOMEM);
    say_released(1);

    EXPECT_EQ(released, 1);
}

TEST_F(NeBackendTest, AMachineThatEndsWhileMemoryComesBackIsReleased) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    machine.never_parks = true;
    carry_out(free_slot());
    EXPECT_EQ(answers.size(), 1U);
    end_machine();

    release();
    ASSERT_EQ(heard_release(), 1U);
    say_released(1);

    EXPECT_EQ(released, 1);
    EXPECT_EQ(answers.size(), 1U);
}

TEST_F(NeBackendTest, AMachineThatEndsInTheMiddleOfAReleaseIsReleased) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    release();
    ASSERT_EQ(heard_release(), 1U);
    machine.never_parks = true;
    say_released(1);
    EXPECT_EQ(released, 0);

    end_machine();
    run();

    EXPECT_EQ(released, 1);
}

TEST_F(NeBackendTest, AMachineThatEndsWithoutALineWaitsForOne) {
    connect();
    carry_out(add_memory(0, 2_MiB));
    lose_alcoved();
    end_machine();
    release();
    run();
    EXPECT_EQ(released, 0);

    connect();
    ASSERT_EQ(heard_release(), 1U);
    say_released(1);

    EXPECT_EQ(released, 1);
}

}  // namespace
}  // namespace alcove::vmm
