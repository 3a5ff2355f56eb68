// SPDX-License-Identifier: Apache-2.0
#include "machine/carver.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::machine {
namespace {

using memory::GuestAddress;
using memory::GuestRange;

constexpr uint64_t kRam = 4_MiB;
constexpr uint64_t kHigh = 4_GiB;  // guest address of the RAM's second half
constexpr uint64_t kPage = 4_KiB;
constexpr uint64_t kChunk = 64_KiB;

GuestRange range(uint64_t base, uint64_t size) {
    return {GuestAddress(base), size};
}

Fd make_file(uint64_t size) {
    auto file = sys::memfd("test").value();
    EXPECT_TRUE(sys::truncate(file, size));
    return file;
}

Bytes content(const Fd& file, uint64_t offset, size_t length) {
    Bytes bytes(length);
    EXPECT_EQ(::pread(file.get(), bytes.data(), length, static_cast<off_t>(offset)),
              static_cast<ssize_t>(length));
    return bytes;
}

uint64_t bytes_in_use(const Fd& file) {
    return static_cast<uint64_t>(sys::stat(file).value().st_blocks) * 512;
}

// No byte of it is zero, and no page is like another.
Bytes pattern() {
    Bytes bytes(kRam);
    for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<uint8_t>(1 + (i * 31 + i / kPage * 7) % 255);
    return bytes;
}

// A machine with memory and slots, and a vCPU that is somewhere.
class FakeMachine : public Carvable {
  public:
    explicit FakeMachine(EventLoop& loop, const Fd& ram) : loop_(loop) {
        const std::vector<memory::GuestMemory::Region> regions{
            {.range = range(0, kRam / 2), .file_offset = 0},
            {.range = range(kHigh, kRam / 2), .file_offset = kRam / 2}};
        memory_ = memory::GuestMemory::create(ram, regions).value();
    }

    void with_vcpus_parked(std::function<void()> work) override {
        if (never_parks) return;
        loop_.post([this, work = std::move(work)] {
            parked_ = true;
            work();
            parked_ = false;
        });
    }
    Result<void> remove_memory(GuestRange range) override {
        EXPECT_TRUE(parked_);
        if (refuses_slots) return fail(ErrorCode::KvmRefused, "no memory");
        absent.push_back(range);
        return {};
    }
    Result<void> restore_memory(GuestRange range) override {
        EXPECT_TRUE(parked_);
        EXPECT_TRUE(memory_->is_ram(range)) << "a guest would meet the fence";
        if (refuses_slots) return fail(ErrorCode::KvmRefused, "no memory");
        std::erase(absent, range);
        return {};
    }
    const std::shared_ptr<memory::GuestMemory>& memory() const override { return memory_; }
    void give_up(std::string) override { ++given_up; }

    bool never_parks = false;
    bool refuses_slots = false;
    std::vector<GuestRange> absent;
    int given_up = 0;

  private:
    EventLoop& loop_;
    std::shared_ptr<memory::GuestMemory> memory_;
    bool parked_ = false;
};

class CarverTest : public testing::Test {
  protected:
    CarverTest() {
        EXPECT_TRUE(sys::allocate(ram, 0, 0, kRam));
        EXPECT_TRUE(sys::write_all_at(ram, data, 0));
    }

    void run() {
        while (loop->run_once(std::chrono::milliseconds(0)).value() > 0)
            peak = std::max(peak, bytes_in_use(ram) + bytes_in_use(enclave));
    }
    Carver::Done store(std::optional<Result<void>>& into) {
        return [&into](Result<void> result) { into = std::move(result); };
    }
    std::optional<Result<void>> take(GuestRange what, uint64_t offset) {
        std::optional<Result<void>> result;
        carver.take(what, {enclave, offset}, store(result));
        run();
        return result;
    }
    std::optional<Result<void>> give_back(std::vector<GuestRange> what, uint64_t offset) {
        std::optional<Result<void>> result;
        carver.give_back(std::move(what), {enclave, offset}, store(result));
        run();
        return result;
    }
    // The enclave's file takes no more than this.
    void limit_enclave(uint64_t size) {
        ASSERT_TRUE(sys::truncate(enclave, size));
        ASSERT_EQ(::fcntl(enclave.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
    }
    Bytes original(uint64_t offset, size_t length) const {
        const auto begin = data.begin() + static_cast<ptrdiff_t>(offset);
        return {begin, begin + static_cast<ptrdiff_t>(length)};
    }

    const Bytes data = pattern();
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    Fd ram = make_file(kRam);
    Fd enclave = make_file(2 * kRam);
    uint64_t peak = 0;
    FakeMachine machine{*loop, ram};
    Carver carver{machine, *loop, ram, {.page = kPage, .chunk = kChunk}};
};

TEST_F(CarverTest, WhatIsTakenIsOutOfSightAndInTheEnclave) {
    const auto what = range(kHigh + 256_KiB, 512_KiB);

    const auto taken = take(what, 1_MiB);

    ASSERT_TRUE(taken && *taken);
    EXPECT_EQ(machine.absent, std::vector{what});
    EXPECT_FALSE(machine.memory()->is_ram(what));
    EXPECT_TRUE(machine.memory()->is_ram(range(kHigh, 256_KiB)));
    EXPECT_EQ(content(enclave, 1_MiB, 512_KiB), original(kRam / 2 + 256_KiB, 512_KiB));
    EXPECT_EQ(content(ram, kRam / 2 + 256_KiB, 512_KiB), Bytes(512_KiB, 0));
    EXPECT_EQ(bytes_in_use(ram) + bytes_in_use(enclave), kRam);
    EXPECT_LE(peak, kRam + kChunk);
    EXPECT_EQ(carver.counters().moved.bytes_copied, 512_KiB);
    EXPECT_EQ(carver.counters().bytes_taken, 512_KiB);
    EXPECT_EQ(carver.counters().pauses, 1U);
}

TEST_F(CarverTest, WhatIsGivenBackIsZeroAndCostsNoCopies) {
    const auto first = range(1_MiB, 200_KiB);
    const auto second = range(kHigh, 72_KiB);
    ASSERT_TRUE(*take(first, 0));
    ASSERT_TRUE(*take(second, 200_KiB));

    const auto given = give_back({first, second}, 0);

    ASSERT_TRUE(given && *given);
    EXPECT_TRUE(machine.absent.empty());
    EXPECT_TRUE(machine.memory()->is_ram(first));
    EXPECT_TRUE(machine.memory()->is_ram(second));
    EXPECT_EQ(content(ram, 1_MiB, 200_KiB), Bytes(200_KiB, 0));
    EXPECT_EQ(content(ram, kRam / 2, 72_KiB), Bytes(72_KiB, 0));
    EXPECT_EQ(content(ram, 0, 1_MiB), original(0, 1_MiB));
    EXPECT_EQ(bytes_in_use(ram), kRam);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_LE(peak, kRam + kChunk);
    EXPECT_EQ(carver.counters().moved.bytes_copied, 272_KiB);
    EXPECT_EQ(carver.counters().bytes_given_back, 272_KiB);
    EXPECT_EQ(carver.counters().pauses, 3U) << "one for both ranges";
}

TEST_F(CarverTest, OperationsFollowEachOther) {
    std::optional<Result<void>> first;
    std::optional<Result<void>> second;
    std::optional<Result<void>> third;
    const auto what = range(0, 256_KiB);
    carver.take(what, {enclave, 0}, store(first));
    carver.give_back({what}, {enclave, 0}, store(second));
    carver.take(what, {enclave, 1_MiB}, store(third));
    EXPECT_FALSE(first) << "not from within the call";

    run();

    EXPECT_TRUE(*first && *second && *third);
    EXPECT_TRUE(carver.is_idle());
    EXPECT_EQ(machine.absent, std::vector{what});
    EXPECT_EQ(carver.counters().moved.bytes_copied, 256_KiB) << "fresh pages are not copied";
}

TEST_F(CarverTest, ATakeThatFailsInTheMiddleLeavesEverythingAsItWas) {
    limit_enclave(200_KiB);

    const auto taken = take(range(512_KiB, 512_KiB), 0);

    ASSERT_TRUE(taken && !*taken);
    EXPECT_TRUE(machine.absent.empty());
    EXPECT_TRUE(machine.memory()->is_ram(range(0, kRam / 2)));
    EXPECT_EQ(content(ram, 0, kRam), data);
    EXPECT_EQ(bytes_in_use(ram), kRam);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_EQ(machine.given_up, 0);
    EXPECT_EQ(carver.counters().bytes_taken, 0U);
    ASSERT_TRUE(*take(range(512_KiB, 128_KiB), 0)) << "a smaller one can be taken then";
}

TEST_F(CarverTest, WithoutRoomToMoveBackTheMachineEnds) {
    limit_enclave(200_KiB);
    // The machine's file can not be written in either: the chunks that moved have nowhere to go.
    std::optional<Result<void>> taken;
    carver.take(range(512_KiB, 512_KiB), {enclave, 0}, store(taken));
    while (content(enclave, 0, 1)[0] == 0)
        ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));
    ASSERT_TRUE(sys::truncate(ram, 512_KiB));
    ASSERT_EQ(::fcntl(ram.get(), F_ADD_SEALS, F_SEAL_GROW), 0);

    run();

    ASSERT_TRUE(taken && !*taken);
    EXPECT_EQ(machine.given_up, 1);
    EXPECT_EQ(machine.absent.size(), 1U) << "nobody sees what is not there";
}

TEST_F(CarverTest, GivingBackWithoutMemoryCanBeAskedForAgain) {
    const auto what = range(kHigh, kRam / 2);
    ASSERT_TRUE(*take(what, 0));
    ASSERT_TRUE(sys::truncate(ram, kRam / 2));
    ASSERT_EQ(::fcntl(ram.get(), F_ADD_SEALS, F_SEAL_GROW), 0);

    for (int i = 0; i < 2; ++i) {
        const auto given = give_back({what}, 0);

        ASSERT_TRUE(given && !*given);
        EXPECT_EQ(bytes_in_use(enclave), 0U) << "the host gets what there is";
        EXPECT_EQ(machine.absent, std::vector{what});
        EXPECT_EQ(machine.given_up, 0);
    }
}

TEST_F(CarverTest, SlotsThatKvmRefusesCostTheMachine) {
    machine.refuses_slots = true;

    const auto taken = take(range(0, 64_KiB), 0);

    ASSERT_TRUE(taken && !*taken);
    EXPECT_EQ(machine.given_up, 1);
    EXPECT_EQ(content(ram, 0, 64_KiB), original(0, 64_KiB));
}

TEST_F(CarverTest, SlotsThatDoNotComeBackCostTheMachine) {
    const auto what = range(0, 64_KiB);
    ASSERT_TRUE(*take(what, 0));
    machine.refuses_slots = true;

    const auto given = give_back({what}, 0);

    ASSERT_TRUE(given && !*given);
    EXPECT_EQ(machine.given_up, 1);
}

TEST_F(CarverTest, TheMachinesEndEndsWhatWaitsForItsVcpus) {
    machine.never_parks = true;
    const auto taken = take(range(0, 64_KiB), 0);
    EXPECT_FALSE(taken.has_value());

    std::optional<Result<void>> result;
    carver.take(range(64_KiB, 64_KiB), {enclave, 0}, store(result));
    carver.machine_ended();
    run();

    ASSERT_TRUE(result && !*result);
    EXPECT_TRUE(carver.is_idle());
    EXPECT_EQ(machine.given_up, 0);
}

TEST_F(CarverTest, AfterTheMachinesEndGivingBackReleasesOnly) {
    const auto what = range(0, 256_KiB);
    ASSERT_TRUE(*take(what, 0));
    carver.machine_ended();

    const auto given = give_back({what}, 0);

    ASSERT_TRUE(given && *given);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_EQ(bytes_in_use(ram), kRam - 256_KiB);
}

TEST_F(CarverTest, NothingIsCalledAfterItsOwnEnd) {
    std::optional<Result<void>> taken;
    auto other = std::make_unique<Carver>(machine, *loop, ram, Carver::Sizes{.page = kPage, .chunk = kChunk});
    other->take(range(0, 64_KiB), {enclave, 0}, store(taken));
    ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));
    other.reset();

    run();

    EXPECT_FALSE(taken);
}

}  // namespace
}  // namespace alcove::machine
