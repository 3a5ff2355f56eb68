// SPDX-License-Identifier: Apache-2.0
//
// A command line given to the argument library: `alcove` and `nitro-cli` describe theirs to it differently,
// and ask it in the same way.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace alcove::cli {

// What is to be shown instead of doing anything: help, a version, or what is wrong with the arguments.
struct ShownInstead {
    std::string text;
    bool wrong = false;
};

// `arguments` without the program's name. Nothing when they were understood; the application's callbacks were
// called.
std::optional<ShownInstead> parse_with(CLI::App& app, std::vector<std::string> arguments);

}  // namespace alcove::cli
