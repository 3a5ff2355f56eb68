// SPDX-License-Identifier: Apache-2.0
//
// The user-mode network of a VM: passt, run as the caller. What the guest sends leaves this machine from
// passt's own sockets, so the guest reaches what the caller can reach, but for this machine's loopback; it is
// reached by nobody. passt ends when the last copy of the stream's other end is closed.
#pragma once

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// Frames as virtio/stream_link.hpp has them. Returns when it serves. ErrorCode::MissingDependency without the
// program; ErrorCode::Unsupported with its words.
Result<void> start_passt(const Fd& stream);

}  // namespace alcove::cli
