// SPDX-License-Identifier: Apache-2.0
//
// What --net says: "user" or "tap=NAME", and ",mac=ADDRESS" behind it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "support/result.hpp"

namespace alcove::cli {

struct NetworkOption {
    std::string tap;  // the interface's name; empty: the user-mode network
    std::string mac;  // as given; empty: the VM's own
};

// ErrorCode::InvalidArgument.
Result<NetworkOption> parse_network(std::string_view text);

}  // namespace alcove::cli
