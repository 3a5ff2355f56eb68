// SPDX-License-Identifier: Apache-2.0
//
// From arguments to an Invocation. Only this and argument_parser.hpp know the argument library.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/invocation.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// Either an invocation, or a text to show (help, or what is wrong with the arguments) and an exit code.
struct Parsed {
    std::optional<Invocation> invocation;
    std::string text;
    Exit exit = Exit::Ok;
    bool json = false;  // --json was among arguments that are wrong
};

Parsed parse_arguments(const std::vector<std::string>& arguments);  // without the program's name

// "512", "512M", "2G", "1T" as MiB. ErrorCode::InvalidArgument.
Result<uint64_t> parse_memory_mib(const std::string& text);

}  // namespace alcove::cli
