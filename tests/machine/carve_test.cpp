// SPDX-License-Identifier: Apache-2.0
//
// The tests that decide about carving: a guest reads all its other memory for ever, and compares, while
// ranges are taken from it and given back.
#include <array>
#include <optional>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/bytes.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"
#include "tests/machine/primary.hpp"

namespace alcove::tests {
namespace {

using memory::GuestAddress;
using memory::GuestRange;
using std::chrono::seconds;

constexpr uint64_t kRam = 192_MiB;
constexpr uint64_t kWindow = 72_MiB;  // where it begins
constexpr uint64_t kWindowEnd = 120_MiB;
constexpr uint64_t kUnit = 2_MiB;
constexpr size_t kUnits = (kWindowEnd - kWindow) / kUnit;
constexpr size_t kLongest = 8;  // units of one range

struct Kind {
    const char* name;
    uint64_t slot;  // size of a memory slot
    uint64_t page;  // of RAM's file
    size_t rounds;
};

// 2 MiB slots, as in machines of some gigabytes: no range shares one with its neighbours. 16 MiB, as in large
// machines: each range tears one apart, and the window's ends lie within one.
constexpr Kind kKinds[] = {
    {"SmallSlots", 2_MiB, 4_KiB, 200}, {"LargeSlots", 16_MiB, 4_KiB, 60}, {"HugePages", 16_MiB, 2_MiB, 200}};

class Carve : public testing::TestWithParam<Kind> {
  protected:
    void SetUp() override {
        if (GetParam().page == 4_KiB) return;
        // All RAM and one chunk more: what is to be reserved at any moment.
        constexpr uint64_t kPages = kRam / 2_MiB + 1;
        pages.emplace(kPages);
        if (pages->had() != kPages) GTEST_SKIP() << "the host gives " << pages->had() << " huge pages";
    }

    enum class Guest { Watches, Touches };
    void boot(Guest guest = Guest::Watches) {
        touches = guest == Guest::Touches;
        auto created = Primary::create(
            {.kernel = "sweep.elf",
             .command_line = std::string("from=72 to=120 ram=192") + (touches ? " touch=1" : ""),
             .vcpus = 2,
             .memory_bytes = kRam,
             .memory_block = GetParam().slot,
             .page_size = GetParam().page});
        ASSERT_TRUE(created) << created.error().to_string();
        primary = std::move(created).value();
        enclave = ram_file("enclave-ram", GetParam().page, kWindowEnd - kWindow).value();
        ASSERT_TRUE(primary->boot());
        ASSERT_TRUE(sweeps(2)) << primary->console();
    }
    // Waits until each vCPU has gone round so often again, begun meanwhile and ended.
    bool sweeps(size_t count) {
        const size_t first = primary->count_on_console('.');
        const size_t second = primary->count_on_console(':');
        return primary->run_until(
            [&] {
                return primary->count_on_console('.') >= first + count &&
                       primary->count_on_console(':') >= second + count;
            },
            seconds(60));
    }

    // A range of units that are free (or are `taken`, all by one take).
    struct Taken {
        size_t first;
        size_t count;
    };
    static GuestRange range_of(const Taken& taken) {
        return {GuestAddress(kWindow + taken.first * kUnit), taken.count * kUnit};
    }

    void take(const Taken& what) {
        const auto taken = primary->take(range_of(what), {enclave, what.first * kUnit});
        ASSERT_TRUE(taken) << taken.error().to_string();
    }
    void give_back(const Taken& what) {
        const auto given = primary->give_back(range_of(what), {enclave, what.first * kUnit});
        ASSERT_TRUE(given) << given.error().to_string();
    }
    // The first two words of each page of a unit.
    using Words = std::vector<std::array<uint64_t, 2>>;
    Words words_in_enclave(size_t unit) const {
        const auto mapping = Mapping::shared_read_only(enclave, kUnit, unit * kUnit).value();
        Words words(kUnit / 4_KiB);
        for (size_t page = 0; page < words.size(); ++page)
            std::memcpy(&words[page], mapping.bytes().data() + page * 4_KiB, sizeof words[page]);
        return words;
    }
    // The first is the guest's pattern, or zero; the second a guest that touches has changed before.
    void expect_in_enclave(const Taken& what, const std::vector<bool>& was_given_back) {
        size_t wrong = 0;
        for (size_t unit = what.first; unit < what.first + what.count; ++unit) {
            arrived[unit] = words_in_enclave(unit);
            for (size_t page = 0; page < arrived[unit].size(); ++page) {
                const uint64_t address = kWindow + unit * kUnit + page * 4_KiB;
                if (arrived[unit][page][0] != (was_given_back[unit] ? 0 : pattern_at(address))) ++wrong;
            }
        }
        EXPECT_EQ(wrong, 0U) << "pages from unit " << what.first;
    }
    void expect_untouched_in_enclave(const Taken& what) const {
        for (size_t unit = what.first; unit < what.first + what.count; ++unit)
            EXPECT_EQ(words_in_enclave(unit), arrived[unit]) << "unit " << unit;
    }
    std::optional<Taken> pick_free(const std::vector<bool>& is_taken) {
        Taken what{.first = random() % kUnits, .count = 0};
        while (what.first + what.count < kUnits && !is_taken[what.first + what.count] &&
               what.count < 1 + random() % kLongest)
            ++what.count;
        return what.count == 0 ? std::nullopt : std::optional(what);
    }

    // So many takes and as many gifts, in any order.
    void carve(size_t rounds) {
        std::vector<bool> is_taken(kUnits, false);
        std::vector<bool> was_given_back(kUnits, false);
        std::vector<Taken> all;
        for (size_t takes = 0, gifts = 0; gifts < rounds;) {
            const auto what = takes < rounds && random() % 2 == 0 ? pick_free(is_taken) : std::nullopt;
            if (what) {
                ++takes;
                ASSERT_NO_FATAL_FAILURE(take(*what));
                ASSERT_NO_FATAL_FAILURE(expect_in_enclave(*what, was_given_back));
                std::fill_n(is_taken.begin() + static_cast<ptrdiff_t>(what->first), what->count, true);
                all.push_back(*what);
            } else if (!all.empty()) {
                ++gifts;
                std::swap(all[random() % all.size()], all.back());
                const auto last = all.back();
                all.pop_back();
                if (touches) expect_untouched_in_enclave(last);
                ASSERT_NO_FATAL_FAILURE(give_back(last));
                std::fill_n(is_taken.begin() + static_cast<ptrdiff_t>(last.first), last.count, false);
                std::fill_n(was_given_back.begin() + static_cast<ptrdiff_t>(last.first), last.count, true);
            }
            peak = std::max(peak, bytes_in_use(primary->ram()) + bytes_in_use(enclave));
            ASSERT_FALSE(primary->end()) << primary->end()->detail;
        }
    }

    std::mt19937_64 random{7};  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same sequence each time
    std::optional<HugePages> pages;
    std::unique_ptr<Primary> primary;
    Fd enclave;
    uint64_t peak = 0;
    bool touches = false;
    std::array<Words, kUnits> arrived;  // of each unit, when it was taken
};

TEST_P(Carve, OtherMemoryIsNeverWrongAndNeverMissing) {
    ASSERT_NO_FATAL_FAILURE(boot());
    const uint64_t mmio = primary->mmio();
    const uint64_t unclaimed = primary->unclaimed();

    ASSERT_NO_FATAL_FAILURE(carve(GetParam().rounds));

    EXPECT_TRUE(sweeps(2)) << primary->console();
    EXPECT_EQ(primary->count_on_console('w'), 0U) << primary->console();
    EXPECT_EQ(primary->mmio(), mmio);
    EXPECT_EQ(primary->unclaimed(), unclaimed);
    EXPECT_EQ(bytes_in_use(primary->ram()), kRam);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_LE(peak, kRam);
    EXPECT_EQ(primary->carved().bytes_withdrawn, primary->carved().bytes_readmitted);
    EXPECT_LE(primary->moved().bytes_copied, primary->carved().bytes_withdrawn) << "each byte once";
    const auto pause = std::chrono::duration_cast<std::chrono::microseconds>(primary->carved().longest_pause);
    RecordProperty("longest_pause_us", static_cast<int>(pause.count()));
}

TEST_P(Carve, AGuestThatTouchesWhatIsAbsentLivesAndDisturbsNobody) {
    ASSERT_NO_FATAL_FAILURE(boot(Guest::Touches));

    ASSERT_NO_FATAL_FAILURE(carve(40));

    EXPECT_TRUE(sweeps(2)) << primary->console();
    EXPECT_EQ(primary->count_on_console('w'), 0U) << primary->console();
    EXPECT_GT(primary->unclaimed(), 0U) << "it met what is absent";
    EXPECT_LE(peak, kRam) << "and filled no hole";
    EXPECT_EQ(bytes_in_use(primary->ram()), kRam);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
}

TEST_P(Carve, PagesThatAreLostWithTheirEnclaveAreThereBeforeTheGuestMeetsThem) {
    ASSERT_NO_FATAL_FAILURE(boot());
    const Taken what{.first = 3, .count = 5};
    ASSERT_NO_FATAL_FAILURE(take(what));
    enclave.reset();

    ASSERT_TRUE(primary->readmit(range_of(what)));

    EXPECT_EQ(bytes_in_use(primary->ram()), kRam);
    EXPECT_TRUE(sweeps(1)) << primary->console();
}

TEST_P(Carve, PagesThatTheHostHasNotAreWaitedFor) {
    if (GetParam().page == 4_KiB) GTEST_SKIP() << "of small pages there are always some";
    ASSERT_NO_FATAL_FAILURE(boot());
    const Taken what{.first = 3, .count = 5};
    ASSERT_NO_FATAL_FAILURE(take(what));
    enclave.reset();
    Fd others = ram_file("others", 2_MiB, 4 * kUnit).value();
    ASSERT_TRUE(sys::allocate(others, 0, 0, 4 * kUnit)) << "all but two";
    std::thread giver([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        others.reset();
    });

    const auto readmitted = primary->readmit(range_of(what));
    giver.join();

    EXPECT_TRUE(readmitted) << readmitted.error().to_string();
    EXPECT_EQ(bytes_in_use(primary->ram()), kRam);
    EXPECT_TRUE(sweeps(1)) << primary->console();
}

TEST_P(Carve, WhatHasMovedWhenTheHostRunsOutOfPagesGoesBackAsItWas) {
    if (GetParam().page == 4_KiB) GTEST_SKIP() << "of small pages there are always some";
    ASSERT_NO_FATAL_FAILURE(boot());
    const auto range = range_of({.first = 0, .count = kUnits});
    const auto window = [&] {
        const uint64_t offset = primary->ram_at(range.base).offset;
        const auto mapping = Mapping::shared_read_only(primary->ram(), range.size, offset).value();
        return Bytes(mapping.bytes().begin(), mapping.bytes().end());
    };
    const Bytes before = window();
    uint64_t on_its_way = 0;
    std::thread others([&] {
        while (bytes_in_use(enclave) == 0)
            std::this_thread::yield();
        pages->change(kRam / 2_MiB);
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        on_its_way = bytes_in_use(enclave);
        pages->change(kRam / 2_MiB + 1);
    });

    const auto taken = primary->take(range, {enclave, 0});
    others.join();

    ASSERT_FALSE(taken);
    ASSERT_EQ(taken.error().code(), ErrorCode::OutOfMemory) << taken.error().to_string();
    EXPECT_GT(on_its_way, 0U) << "in the middle";
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    EXPECT_EQ(bytes_in_use(primary->ram()), kRam);
    EXPECT_TRUE(window() == before) << "its own bytes";
    ASSERT_TRUE(primary->readmit(range));
    EXPECT_TRUE(sweeps(1)) << primary->console();
    EXPECT_EQ(primary->count_on_console('w'), 0U) << primary->console();
}

// RAM above the devices' addresses lies in its file where that below them ends. Of what the guest never
// touches the host need not have pages.
TEST(CarveHigh, MemoryAbove4GiBIsTakenFromItsPlaceAndGivenBack) {
    constexpr uint64_t kFirst = 4_GiB + 1_GiB / 2;
    const GuestRange range{GuestAddress(kFirst), 4 * kUnit};
    auto primary = Primary::create({.kernel = "sweep.elf",
                                    .command_line = "from=72 to=120 ram=192",
                                    .vcpus = 2,
                                    .memory_bytes = 5_GiB,
                                    .pages = PrimaryOptions::Pages::Touched})
                       .value();
    const auto place = primary->ram_at(range.base);
    EXPECT_EQ(place.offset, 3_GiB + 1_GiB / 2);
    Bytes data(range.size);
    for (size_t at = 0; at < data.size(); ++at)
        data[at] = static_cast<uint8_t>(1 + at * 31 % 255);
    ASSERT_TRUE(sys::write_all_at(primary->ram(), data, place.offset));
    const Fd enclave = ram_file("enclave-ram", 4_KiB, range.size).value();
    ASSERT_TRUE(primary->boot());
    ASSERT_TRUE(primary->run_until([&] { return primary->count_on_console('.') > 0; }, seconds(60)));

    const auto taken = primary->take(range, {enclave, 0});
    ASSERT_TRUE(taken) << taken.error().to_string();
    Bytes arrived(range.size);
    ASSERT_TRUE(sys::read_exact_at(enclave, arrived, 0));
    EXPECT_EQ(arrived, data);
    EXPECT_FALSE(primary->machine().memory()->read<uint64_t>(range.base)) << "out of the machine's sight";
    const auto given = primary->give_back(range, {enclave, 0});
    ASSERT_TRUE(given) << given.error().to_string();

    EXPECT_EQ(primary->machine().memory()->read<uint64_t>(range.base).value(), 0U);
    EXPECT_EQ(bytes_in_use(enclave), 0U);
    const size_t before = primary->count_on_console('.');
    EXPECT_TRUE(primary->run_until([&] { return primary->count_on_console('.') > before + 1; }, seconds(60)));
    EXPECT_EQ(primary->count_on_console('w'), 0U) << primary->console();
}

INSTANTIATE_TEST_SUITE_P(Kinds, Carve, testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace alcove::tests
