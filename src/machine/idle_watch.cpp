// SPDX-License-Identifier: Apache-2.0
#include "machine/idle_watch.hpp"

#include <algorithm>

namespace alcove::machine {

bool IdleWatch::idle(std::span<const std::chrono::nanoseconds> used) {
    const bool idle =
        std::ranges::equal(before_, used, [](auto before, auto now) { return now - before < kIdleAtMost; });
    before_.assign(used.begin(), used.end());
    return idle;
}

}  // namespace alcove::machine
