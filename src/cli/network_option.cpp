// SPDX-License-Identifier: Apache-2.0
#include "cli/network_option.hpp"

namespace alcove::cli {

namespace {

constexpr std::string_view kUser = "user";
constexpr std::string_view kTap = "tap=";
constexpr std::string_view kMac = ",mac=";

}  // namespace

Result<NetworkOption> parse_network(std::string_view text) {
    NetworkOption option;
    const size_t comma = text.find(',');
    const auto kind = text.substr(0, comma);
    if (comma != std::string_view::npos) {
        const auto rest = text.substr(comma);
        if (!rest.starts_with(kMac) || rest.size() == kMac.size())
            return fail(ErrorCode::InvalidArgument,
                        "behind a network's kind comes ',mac=ADDRESS', not '" + std::string(rest) + "'");
        option.mac = rest.substr(kMac.size());
    }
    if (kind == kUser) return option;
    if (!kind.starts_with(kTap) || kind.size() == kTap.size())
        return fail(ErrorCode::InvalidArgument,
                    "a network is 'user' or 'tap=NAME', not '" + std::string(kind) + "'");
    option.tap = kind.substr(kTap.size());
    return option;
}

}  // namespace alcove::cli
