// SPDX-License-Identifier: Apache-2.0
#include "init/clock.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/timex.h>

#include "init/clock_policy.hpp"
#include "init/console.hpp"
#include "init/file.hpp"
#include "support/result.hpp"

namespace alcove::init {

namespace {

using std::chrono::nanoseconds;

constexpr std::string_view kKvmClockName = "KVM virtual PTP";
// An enclave has one; a machine with a network card may have a few more.
constexpr int kClocksLookedAt = 8;
constexpr size_t kSamples = 5;

// A descriptor of a clock device as a clock: clock_gettime(2), "Dynamic clocks".
clockid_t clock_id_of(const Fd& fd) {
    return static_cast<clockid_t>((~static_cast<unsigned>(fd.get()) << 3) | 3);
}

Result<nanoseconds> read_clock(clockid_t clock) {
    timespec time{};
    if (clock_gettime(clock, &time) != 0) return fail_errno(errno, "reading a clock");
    return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

Result<ClockDifference> compare_with(const Fd& host_clock) {
    std::array<ClockSample, kSamples> samples{};
    for (ClockSample& sample : samples) {
        sample.before = TRY(read_clock(CLOCK_REALTIME));
        sample.host = TRY(read_clock(clock_id_of(host_clock)));
        sample.after = TRY(read_clock(CLOCK_REALTIME));
    }
    return best_difference(samples);
}

Result<void> step_by(nanoseconds offset) {
    const nanoseconds now = TRY(read_clock(CLOCK_REALTIME));
    const nanoseconds wanted = now + offset;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wanted);
    const timespec time{.tv_sec = seconds.count(), .tv_nsec = (wanted - seconds).count()};
    if (clock_settime(CLOCK_REALTIME, &time) != 0) return fail_errno(errno, "setting the clock");
    return {};
}

// At most 0.5 ms a second (adjtime(3)), so 30 ms until the next check; what is left is then asked for again.
Result<void> slew_by(nanoseconds offset) {
    timex adjustment{};
    adjustment.modes = ADJ_OFFSET_SINGLESHOT;
    adjustment.offset = std::chrono::duration_cast<std::chrono::microseconds>(offset).count();
    if (adjtimex(&adjustment) < 0) return fail_errno(errno, "slewing the clock");
    return {};
}

std::string in_milliseconds(nanoseconds offset) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(offset).count()) + " ms";
}

}  // namespace

ClockKeeper ClockKeeper::find() {
    for (int i = 0; i < kClocksLookedAt; ++i) {
        const std::string name = "ptp" + std::to_string(i);
        const auto clock_name = read_file("/sys/class/ptp/" + name + "/clock_name", 4096);
        if (!clock_name || !clock_name->starts_with(kKvmClockName)) continue;
        auto clock = open_file("/dev/" + name, O_RDONLY);
        if (clock) return ClockKeeper(std::move(*clock));
        say(clock.error().to_string());
    }
    say("KVM offers no clock here: the time is not checked");
    return ClockKeeper(Fd());
}

void ClockKeeper::check() {
    if (!host_clock_.is_open()) return;
    const auto adjust = [this]() -> Result<void> {
        const ClockDifference difference = TRY(compare_with(host_clock_));
        switch (decide(difference)) {
            case ClockAction::Keep:
                break;
            case ClockAction::Step:
                TRY(step_by(difference.offset));
                if (!std::exchange(told_step_, true))
                    say("clock stepped by " + in_milliseconds(difference.offset));
                break;
            case ClockAction::Slew:
                TRY(slew_by(difference.offset));
                if (!std::exchange(told_slew_, true))
                    say("clock slewed by " + in_milliseconds(difference.offset));
                break;
        }
        return {};
    };
    const auto adjusted = adjust();
    if (!adjusted && !std::exchange(told_failure_, true)) say("clock: " + adjusted.error().to_string());
}

}  // namespace alcove::init
