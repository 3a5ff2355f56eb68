// SPDX-License-Identifier: Apache-2.0
//
// What to do about a clock that has moved away from the host's. An enclave has no network to ask for the time
// and may run for months; the host's clock is at hand through PTP_KVM. Small differences are slewed, because
// programs dislike clocks that jump; large ones come from a pause of the VM or a host that was set, and are
// stepped.
//
// Reading the host's clock takes time, and much of it on a busy host; the reading belongs to some moment
// between the two readings of our own clock around it. Half of that interval is the uncertainty, and a
// difference that it could explain is no difference.
#pragma once

#include <chrono>
#include <span>

namespace alcove::init {

inline constexpr std::chrono::milliseconds kStepThreshold{100};
inline constexpr std::chrono::milliseconds kSlewThreshold{5};

// One look at both clocks; all in time since 1970.
struct ClockSample {
    std::chrono::nanoseconds before;
    std::chrono::nanoseconds host;
    std::chrono::nanoseconds after;
};

struct ClockDifference {
    std::chrono::nanoseconds offset;       // to be added to our clock
    std::chrono::nanoseconds uncertainty;  // never negative
};

// The difference that the sample with the shortest interval shows. `samples` is not empty. A sample whose
// interval is negative (the clock was stepped in between) counts as very uncertain.
ClockDifference best_difference(std::span<const ClockSample> samples);

enum class ClockAction { Keep, Slew, Step };

ClockAction decide(ClockDifference difference);

}  // namespace alcove::init
