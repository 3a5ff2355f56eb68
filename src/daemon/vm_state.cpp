// SPDX-License-Identifier: Apache-2.0
#include "daemon/vm_state.hpp"

#include <array>

namespace alcove::daemon {

namespace {

constexpr std::array<std::string_view, 8> kNames = {"reserving", "gathering", "measuring", "starting",
                                                    "running",   "stopping",  "stopped",   "failed"};

}  // namespace

std::string_view state_name(VmState state) {
    return kNames[static_cast<size_t>(state)];
}

std::optional<VmState> state_from(std::string_view name) {
    for (size_t i = 0; i < kNames.size(); ++i)
        if (kNames[i] == name) return static_cast<VmState>(i);
    return std::nullopt;
}

bool may_follow(VmState now, VmState next) {
    if (now == next) return true;
    if (is_over(now)) return false;
    if (is_over(next)) return now == VmState::Stopping;
    return next > now;
}

}  // namespace alcove::daemon
