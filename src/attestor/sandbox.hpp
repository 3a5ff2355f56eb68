// SPDX-License-Identifier: Apache-2.0
//
// What the attestor gives up once its keys are made and its sockets listen. It still writes small files, for
// that is how VMs survive its restarts, and a filter can not see paths: which files those can be is a matter
// of its user's rights. What is over: programs, other processes, sockets of its own (a key has no way out but
// over a connection that somebody else made), memory that can be executed.
#pragma once

#include "support/result.hpp"

namespace alcove::attestor {

// For this thread and all it starts; a call outside the list ends the process (SIGSYS).
Result<void> enter_sandbox();

}  // namespace alcove::attestor
