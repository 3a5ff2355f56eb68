// SPDX-License-Identifier: Apache-2.0
//
// The states a VM goes through, and which may follow which.
//
//     reserving --> gathering --> measuring --> starting --> running
//         |             |             |             |           |
//         +-------------+-------------+--+----------+-----------+
//                              v
//                          stopping --> stopped    it ended, or was stopped: `reason` says why
//                              |
//                              +------> failed     it never ran: `error` says why
//
// `stopping` covers all that is left to do after the end, whatever brought it about: the guest may be gone
// already, but its cores and memory are not free before everything of it is. A VM in one of the last two
// states holds nothing. Only a carved enclave is `gathering`: its primary VM gives it memory; and it is
// `stopping` until that VM has taken everything back. A primary VM that is reset stays `running`. Names are
// contract: stored in the database and shown by the API.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace alcove::daemon {

enum class VmState : uint8_t {
    Reserving,
    Gathering,
    Measuring,
    Starting,
    Running,
    Stopping,
    Stopped,
    Failed,
};

std::string_view state_name(VmState state);
std::optional<VmState> state_from(std::string_view name);

constexpr bool is_over(VmState state) {
    return state == VmState::Stopped || state == VmState::Failed;
}

// Whether `next` may follow `now`. A state may follow itself; steps forward may be skipped.
bool may_follow(VmState now, VmState next);

}  // namespace alcove::daemon
