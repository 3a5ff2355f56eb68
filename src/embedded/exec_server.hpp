// SPDX-License-Identifier: Apache-2.0
//
// The inner half of running a program: reads a request from a stream, starts the program on pipes or a pty,
// carries its input and output, reports its end. One process of its own for each program, so that it may
// block and fail by itself.
#pragma once

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

// Returns when the program has ended and everything was said, or the client is gone and the program with
// it. An Error is for the log only: the client was told what could be told.
Result<void> serve_exec(Fd stream);

}  // namespace alcove::embedded
