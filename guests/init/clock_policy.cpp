// SPDX-License-Identifier: Apache-2.0
#include "init/clock_policy.hpp"

#include <algorithm>

namespace alcove::init {

namespace {

using std::chrono::nanoseconds;

ClockDifference difference_of(const ClockSample& sample) {
    const nanoseconds half = (sample.after - sample.before) / 2;
    const nanoseconds offset = sample.host - (sample.before + half);
    return {offset, half < nanoseconds::zero() ? nanoseconds::max() : half};
}

}  // namespace

ClockDifference best_difference(std::span<const ClockSample> samples) {
    ClockDifference best = difference_of(samples.front());
    for (const ClockSample& sample : samples.subspan(1)) {
        const ClockDifference difference = difference_of(sample);
        if (difference.uncertainty < best.uncertainty) best = difference;
    }
    return best;
}

ClockAction decide(ClockDifference difference) {
    // Cannot overflow: both are differences of times that fit, and the uncertainty is not negative.
    const nanoseconds certain = std::chrono::abs(difference.offset) - difference.uncertainty;
    if (certain > kStepThreshold) return ClockAction::Step;
    if (certain > kSlewThreshold) return ClockAction::Slew;
    return ClockAction::Keep;
}

}  // namespace alcove::init
