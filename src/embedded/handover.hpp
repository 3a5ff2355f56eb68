// SPDX-License-Identifier: Apache-2.0
//
// How a program outside gives alcoved inside a descriptor for a VM's network (api/descriptor_messages.hpp).
// Descriptors do not travel over the bridge, so one is made inside:
//
//     "stream"     the other end of this very stream
//     "tap:NAME"   a tap interface of the embedded host
//
// What comes first on the stream is one line: "token T", T being what a launch names the descriptor by, or
// "failed N REASON", N being an ErrorCode.
#pragma once

#include <string>
#include <string_view>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

inline constexpr const char* kStreamTarget = "stream";
inline constexpr std::string_view kTapPrefix = "tap:";
std::string tap_target(const std::string& name);
bool is_handover(std::string_view target);

// Inside, in a process of its own, for it blocks: serves one target, whose stream this is. The error has been
// told on the stream.
Result<void> serve_handover(const Fd& stream, std::string_view target, const std::string& descriptors_socket);

// Outside: what that said.
Result<std::string> read_token(const Fd& stream);

}  // namespace alcove::embedded
