// SPDX-License-Identifier: Apache-2.0
//
// What a process that holds secrets says of itself first thing in its main().
#pragma once

#include "support/result.hpp"

namespace alcove::sandbox {

// No core file, no debugger and no reading of our memory by others of the same user, no new privileges: not
// even a set-user-ID program gives one back.
Result<void> harden_process();

}  // namespace alcove::sandbox
