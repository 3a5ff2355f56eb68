// SPDX-License-Identifier: Apache-2.0
//
// A stream to a port of an enclave, joined with two descriptors or with another stream. Each direction ends
// by itself, as half-close; what is under way in the other still arrives.
#pragma once

#include <cstdint>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// Asks on a connection to connect.sock for a port: "CONNECT <port>\n", answered with "OK <port>\n". Takes no
// byte behind the answer. ErrorCode::ConnectionLost when the enclave refuses.
Result<void> connect_port(const Fd& stream, uint32_t port);

// `input` (borrowed) to the stream and the stream to `output`, which is closed when the stream has ended.
// Until both have ended, or the stream's other end is gone altogether. An Error when nobody takes the output.
Result<void> relay(const Fd& stream, int input, Fd output);

// The same with this process's standard input and output; the latter is gone then.
Result<void> relay_standard(const Fd& stream);

// Two stream sockets with each other, until both have ended or one's other end is gone altogether.
Result<void> join(const Fd& one, const Fd& other);

}  // namespace alcove::cli
