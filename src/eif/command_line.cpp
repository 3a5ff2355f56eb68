// SPDX-License-Identifier: Apache-2.0
//
// Printable ASCII only: what is shown to a person who decides to trust an image is what the kernel gets.
#include "eif/command_line.hpp"

#include <algorithm>
#include <string>

#include "eif/spec.hpp"

namespace alcove::eif {

Result<void> check_command_line(std::string_view command_line) {
    if (command_line.size() > spec::kMaxCommandLine)
        return fail(ErrorCode::CommandLineInvalid,
                    "the command line has " + std::to_string(command_line.size()) +
                        " characters; the kernel takes " + std::to_string(spec::kMaxCommandLine));
    const auto odd = std::ranges::find_if_not(command_line, [](char c) { return c >= ' ' && c <= '~'; });
    if (odd != command_line.end())
        return fail(ErrorCode::CommandLineInvalid, "character " + std::to_string(odd - command_line.begin()) +
                                                       " of the command line (code " +
                                                       std::to_string(static_cast<unsigned char>(*odd)) +
                                                       ") is not printable ASCII");
    return {};
}

}  // namespace alcove::eif
