// SPDX-License-Identifier: Apache-2.0
//
// A stream to a port of an enclave, joined with two descriptors.
#pragma once

#include <cstdint>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// Asks on a connection to connect.sock for a port: "CONNECT <port>\n", answered with "OK <port>\n". Takes no
// byte behind the answer. ErrorCode::ConnectionLost when the enclave refuses.
Result<void> connect_port(const Fd& stream, uint32_t port);

// `input` to the stream and the stream to `output`, until the stream ends. The end of `input` becomes a
// half-close. The two are borrowed.
Result<void> relay(const Fd& stream, int input, int output);

}  // namespace alcove::cli
