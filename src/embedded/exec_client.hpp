// SPDX-License-Identifier: Apache-2.0
//
// The outer half of running a program in the embedded host: standard input, output and error of this
// process, or any three descriptors, become the program's. With a terminal, this process's terminal is put
// into raw mode for the time and its size is followed.
#pragma once

#include "embedded/exec_protocol.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

struct ExecStreams {
    int input = 0;  // borrowed; -1: the program's input is empty
    int output = 1;
    int errors = 2;
};

// The program's exit code, 128 + n for signal n. ErrorCode::NotFound and the like when it could not be
// started; ErrorCode::ConnectionLost when the host went away under it.
Result<int> run_exec(const Fd& stream, const ExecRequest& request, const ExecStreams& streams);

}  // namespace alcove::embedded
