// SPDX-License-Identifier: Apache-2.0
//
// The parent of a primary VM's lives (api/lives_messages.hpp): each reset of the guest ends its VMM, and
// this begins the next one, a fork of itself that is confined from its first instruction because its parent
// is. Nothing of one life reaches the next: this process sees no guest, no memory of one, and no message but
// the shim's.
#pragma once

#include <functional>

#include "support/channel.hpp"
#include "support/result.hpp"

namespace alcove::vmm {

// Runs one VMM on this line to the shim; in the child, whose exit code tells whether it went well.
using Live = std::function<Result<void>(Channel channel)>;

// Until the shim hangs up; the life that there is then ends with it. To be called by a process that has one
// thread. An error when the shim breaks the protocol.
Result<void> run_lives(const Channel& shim, const Live& live);

}  // namespace alcove::vmm
