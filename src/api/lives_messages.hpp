// SPDX-License-Identifier: Apache-2.0
//
// A primary VM lives as often as it is reset, each time in a VMM of its own. The shim cannot start one: the
// VMM's user, cgroup and empty root are the broker's to give. So the broker starts, in the VMM's place, a
// process that has all of them and does nothing but beget VMMs, one after the other:
//
//     shim                          the parent of lives                        a VMM
//      | -- Hello / Hello ----------- |
//      | -- BeginLife + channel ----> | -- fork -------------------------------> |  as in vmm_messages.hpp,
//      | <----------------- LifeBegun |                                          |  over that channel
//      | <----------------- LifeEnded | <--------------------------------- ends -|
//
// There is one life at a time. When either end of the channel is gone, so are the parent and its VMM.
#pragma once

#include "api/protocol.hpp"

namespace alcove::api::lives {

inline constexpr VersionRange kVersions{.min = 1, .max = 1};

// With one descriptor: the VMM's line to the shim.
struct BeginLife {
    static constexpr uint16_t kType = 16;

    Le32 reserved;
};

struct LifeBegun {
    static constexpr uint16_t kType = 17;

    Le32 vmm_pid;
};

struct LifeEnded {
    static constexpr uint16_t kType = 18;

    Le32 by_signal;  // 0 or 1
    Le32 value;      // exit code or signal number
};

}  // namespace alcove::api::lives
