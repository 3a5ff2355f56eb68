// SPDX-License-Identifier: Apache-2.0
#include "cli/passt.hpp"

#include <sstream>
#include <string>

#include "embedded/process.hpp"

namespace alcove::cli {

namespace {

constexpr std::chrono::seconds kPasstWithin(20);
constexpr int kStream = 3;  // in passt

// Of what passt says, what matters: it also tells that nobody keeps its log.
std::string words_of(const std::string& errors) {
    std::string words;
    std::istringstream lines(errors);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line.starts_with("Failed to send ")) continue;
        words += (words.empty() ? "" : "; ") + line;
    }
    return words.empty() ? "it gave no reason" : words;
}

}  // namespace

Result<void> start_passt(const Fd& stream) {
    if (!embedded::find_program("passt"))
        return fail(ErrorCode::MissingDependency,
                    "a user-mode network needs the program passt (Debian package passt)");
    embedded::SpawnOptions options;
    // Addresses of its own, whatever network this machine is in, so that the guest tells nobody of it.
    options.arguments = {"passt",
                         "--fd",
                         std::to_string(kStream),
                         "--quiet",
                         "--no-map-gw",
                         "--mtu",
                         "1500",
                         "--address",
                         "10.0.2.15",
                         "--netmask",
                         "24",
                         "--gateway",
                         "10.0.2.2",
                         "--dns-forward",
                         "10.0.2.3"};
    options.descriptors = {-1, -1, -1, stream.get()};
    options.new_session = true;
    const auto finished = TRY(embedded::run(std::move(options), kPasstWithin));
    if (finished.exit_code == 0) return {};
    return fail(ErrorCode::Unsupported, "passt does not start: " + words_of(finished.errors));
}

}  // namespace alcove::cli
