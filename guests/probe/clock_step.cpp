// SPDX-License-Identifier: Apache-2.0
#include "probe/clock_step.hpp"

#include <cerrno>
#include <ctime>
#include <thread>

namespace alcove::probe {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

// Changes when the clock is set, and with nothing else.
nanoseconds distance_of_clocks() {
    return system_clock::now().time_since_epoch() - steady_clock::now().time_since_epoch();
}

Result<void> step_by(nanoseconds offset) {
    const nanoseconds wanted = system_clock::now().time_since_epoch() + offset;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wanted);
    const timespec time{.tv_sec = seconds.count(), .tv_nsec = (wanted - seconds).count()};
    if (clock_settime(CLOCK_REALTIME, &time) != 0) return fail_errno(errno, "setting the clock");
    return {};
}

}  // namespace

Result<std::optional<milliseconds>> time_until_put_right(milliseconds step, milliseconds patience) {
    const nanoseconds right = distance_of_clocks();
    TRY(step_by(step));
    const auto begin = steady_clock::now();
    while (distance_of_clocks() - right > step / 2) {
        if (steady_clock::now() - begin >= patience) {
            TRY(step_by(-step));
            return std::optional<milliseconds>();
        }
        std::this_thread::sleep_for(milliseconds(100));
    }
    return std::optional(duration_cast<milliseconds>(steady_clock::now() - begin));
}

}  // namespace alcove::probe
