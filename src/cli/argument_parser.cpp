// SPDX-License-Identifier: Apache-2.0
#include "cli/argument_parser.hpp"

#include <algorithm>
#include <sstream>

#include <CLI/CLI.hpp>

namespace alcove::cli {

std::optional<ShownInstead> parse_with(CLI::App& app, std::vector<std::string> arguments) {
    std::ranges::reverse(arguments);  // the library takes them from the back
    try {
        app.parse(arguments);
        return std::nullopt;
    } catch (const CLI::ParseError& error) {
        std::ostringstream out;
        std::ostringstream err;
        const bool wrong = app.exit(error, out, err) != 0;
        return ShownInstead{.text = wrong ? err.str() : out.str(), .wrong = wrong};
    }
}

}  // namespace alcove::cli
