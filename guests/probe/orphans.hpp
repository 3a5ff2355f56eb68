// SPDX-License-Identifier: Apache-2.0
//
// Processes whose parent is gone are the init's to reap. Here some are made, for it to be seen doing that.
#pragma once

#include <chrono>
#include <cstddef>

#include "support/result.hpp"

namespace alcove::probe {

// How many of `count` processes, which end at once, are still there after at most `patience`, be it as
// zombies.
Result<size_t> orphans_left(size_t count, std::chrono::milliseconds patience);

}  // namespace alcove::probe
