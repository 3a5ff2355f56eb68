// SPDX-License-Identifier: Apache-2.0
//
// alcove: the command line.
#include <csignal>
#include <string>
#include <vector>

#include "cli/program.hpp"
#include "support/log.hpp"

int main(int argc, char** argv) {
    // A reader that goes away ends a write with an error.
    std::signal(SIGPIPE, SIG_IGN);
    alcove::log::start("alcove");
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    return alcove::cli::run_program(arguments, alcove::cli::Streams::of_process());
}
