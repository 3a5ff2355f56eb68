// SPDX-License-Identifier: Apache-2.0
#include "machine/carver.hpp"

#include <optional>

#include <sys/mman.h>

#include <gtest/gtest.h>

#include "machine/carvable_fake.hpp"

namespace alcove::machine {
namespace {

using memory::GuestAddress;
using memory::GuestRange;

constexpr uint64_t kRam = 4_MiB;
constexpr uint64_t kHigh = FakeCarvable::kHigh;

GuestRange range(uint64_t base, uint64_t size) {
    return {GuestAddress(base), size};
}

// No byte of it is zero, and no page is like another.
Bytes pattern() {
    Bytes bytes(kRam);
    for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<uint8_t>(1 + (i * 31 + i / 4_KiB * 7) % 255);
    return bytes;
}

class CarverTest : public testing::Test {
  protected:
    CarverTest() { EXPECT_TRUE(sys::write_all_at(machine.ram(), data, 0)); }

    void run() {
        while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
    }
    Carver::Done store(std::optional<Result<void>>& into) {
        return [&into](Result<void> result) { into = std::move(result); };
    }
    std::optional<Result<void>> withdraw(GuestRange what) {
        std::optional<Result<void>> result;
        carver.withdraw(what, store(result));
        run();
        return result;
    }
    std::optional<Result<void>> readmit(std::vector<GuestRange> what) {
        std::optional<Result<void>> result;
        carver.readmit(std::move(what), store(result));
        run();
        return result;
    }
    Bytes content() const {
        Bytes bytes(kRam);
        EXPECT_TRUE(sys::read_exact_at(machine.ram(), bytes, 0));
        return bytes;
    }

    const Bytes data = pattern();
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    FakeCarvable machine{*loop, kRam};
    Carver carver{machine, *loop};
};

TEST_F(CarverTest, WhatIsWithdrawnIsOutOfSightAndUntouched) {
    const auto what = range(kHigh + 256_KiB, 512_KiB);

    const auto withdrawn = withdraw(what);

    ASSERT_TRUE(withdrawn && *withdrawn);
    EXPECT_EQ(machine.absent, std::vector{what});
    EXPECT_FALSE(machine.memory()->is_ram(what));
    EXPECT_TRUE(machine.memory()->is_ram(range(kHigh, 256_KiB)));
    EXPECT_EQ(content(), data);
    EXPECT_EQ(carver.counters().bytes_withdrawn, 512_KiB);
    EXPECT_EQ(carver.counters().pauses, 1U);
}

TEST_F(CarverTest, WhatIsReadmittedIsBackInOnePause) {
    const auto first = range(1_MiB, 200_KiB);
    const auto second = range(kHigh, 72_KiB);
    ASSERT_TRUE(*withdraw(first));
    ASSERT_TRUE(*withdraw(second));

    const auto readmitted = readmit({first, second});

    ASSERT_TRUE(readmitted && *readmitted);
    EXPECT_TRUE(machine.absent.empty());
    EXPECT_TRUE(machine.memory()->is_ram(first));
    EXPECT_TRUE(machine.memory()->is_ram(second));
    EXPECT_EQ(content(), data);
    EXPECT_EQ(carver.counters().bytes_readmitted, 272_KiB);
    EXPECT_EQ(carver.counters().pauses, 3U) << "one for both ranges";
}

TEST_F(CarverTest, PagesAreThereBeforeTheGuestMeetsThem) {
    const auto what = range(kHigh, 128_KiB);
    ASSERT_TRUE(*withdraw(what));
    machine.reserves_to_refuse = 1;
    std::optional<Result<void>> result;
    carver.readmit({what}, store(result));

    run();
    EXPECT_FALSE(result);
    EXPECT_EQ(machine.absent, std::vector{what}) << "the host has no pages yet";
    const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(10);
    while (!result && EventLoop::Clock::now() < deadline)
        loop->run_once(std::chrono::milliseconds(10)).value();

    ASSERT_TRUE(result && *result);
    EXPECT_EQ(machine.reserved, (std::vector{what, what}));
    EXPECT_TRUE(machine.absent.empty());
}

TEST_F(CarverTest, PagesAreNotWaitedForWhenTheMachineEnds) {
    const auto what = range(kHigh, 128_KiB);
    ASSERT_TRUE(*withdraw(what));
    machine.reserves_to_refuse = 1000;
    std::optional<Result<void>> result;
    carver.readmit({what}, store(result));
    run();

    carver.machine_ended();
    run();

    EXPECT_TRUE(result && *result);
    EXPECT_EQ(machine.reserved.size(), 1U);
}

TEST_F(CarverTest, PagesThatCanNotBeReservedCostTheMachine) {
    const auto what = range(kHigh, 128_KiB);
    ASSERT_TRUE(*withdraw(what));
    machine.reserves_to_refuse = 1;
    machine.reserve_error = ErrorCode::SystemCall;

    const auto readmitted = readmit({what});

    EXPECT_TRUE(readmitted && !*readmitted);
    EXPECT_EQ(machine.given_up, 1);
}

TEST_F(CarverTest, OperationsFollowEachOther) {
    std::optional<Result<void>> first;
    std::optional<Result<void>> second;
    std::optional<Result<void>> third;
    const auto what = range(0, 256_KiB);
    carver.withdraw(what, store(first));
    carver.readmit({what}, store(second));
    carver.withdraw(what, store(third));
    EXPECT_FALSE(first) << "not from within the call";

    run();

    EXPECT_TRUE(*first && *second && *third);
    EXPECT_TRUE(carver.is_idle());
    EXPECT_EQ(machine.absent, std::vector{what});
}

TEST_F(CarverTest, AFenceThatFailsLeavesEverythingAsItWas) {
    const auto what = range(kHigh + 64_KiB, 64_KiB);
    auto* mapped = reinterpret_cast<uint8_t*>(machine.memory()->mapped_regions()[1].host_address);
    ASSERT_EQ(::munmap(mapped + 64_KiB, 64_KiB), 0) << "what is not mapped can not be fenced off";

    const auto withdrawn = withdraw(what);

    ASSERT_TRUE(withdrawn && !*withdrawn);
    EXPECT_TRUE(machine.absent.empty());
    EXPECT_EQ(machine.given_up, 0);
    ASSERT_TRUE(*withdraw(range(0, 64_KiB))) << "others can be withdrawn then";
}

TEST_F(CarverTest, SlotsThatKvmRefusesCostTheMachine) {
    machine.refuses_slots = true;

    const auto withdrawn = withdraw(range(0, 64_KiB));

    ASSERT_TRUE(withdrawn && !*withdrawn);
    EXPECT_EQ(machine.given_up, 1);
    EXPECT_EQ(carver.counters().bytes_withdrawn, 0U);
}

TEST_F(CarverTest, SlotsThatDoNotComeBackCostTheMachine) {
    const auto what = range(0, 64_KiB);
    ASSERT_TRUE(*withdraw(what));
    machine.refuses_slots = true;

    const auto readmitted = readmit({what});

    ASSERT_TRUE(readmitted && !*readmitted);
    EXPECT_EQ(machine.given_up, 1);
}

TEST_F(CarverTest, TheMachinesEndEndsWhatWaitsForItsVcpus) {
    machine.never_parks = true;
    const auto waiting = withdraw(range(0, 64_KiB));
    EXPECT_FALSE(waiting.has_value());

    std::optional<Result<void>> result;
    carver.withdraw(range(64_KiB, 64_KiB), store(result));
    carver.machine_ended();
    run();

    ASSERT_TRUE(result && !*result);
    EXPECT_EQ(result->error().code(), ErrorCode::Cancelled);
    EXPECT_TRUE(carver.is_idle());
    EXPECT_EQ(machine.given_up, 0);
}

TEST_F(CarverTest, AfterTheMachinesEndThereIsNothingToReadmitTo) {
    const auto what = range(0, 256_KiB);
    ASSERT_TRUE(*withdraw(what));
    carver.machine_ended();

    const auto readmitted = readmit({what});

    ASSERT_TRUE(readmitted && *readmitted);
    EXPECT_EQ(machine.absent, std::vector{what});
    EXPECT_EQ(carver.counters().pauses, 1U);
}

TEST_F(CarverTest, AReadmissionThatTheMachinesEndMeetsIsDone) {
    const auto what = range(0, 256_KiB);
    ASSERT_TRUE(*withdraw(what));
    machine.never_parks = true;
    std::optional<Result<void>> result;
    carver.readmit({what}, store(result));
    run();
    ASSERT_FALSE(result);

    carver.machine_ended();
    run();

    EXPECT_TRUE(result && *result);
}

TEST_F(CarverTest, NothingIsCalledAfterItsOwnEnd) {
    std::optional<Result<void>> withdrawn;
    auto other = std::make_unique<Carver>(machine, *loop);
    other->withdraw(range(0, 64_KiB), store(withdrawn));
    ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));
    other.reset();

    run();

    EXPECT_FALSE(withdrawn);
}

}  // namespace
}  // namespace alcove::machine
