// SPDX-License-Identifier: Apache-2.0
//
// What an enclave may reach: nothing but what a rule names.
//
//     NAME:PORTS            this name; its addresses have to be public, or in a range that a rule gives
//     NAME:PORTS=ADDRESS    this name, at this address, wherever that is; nothing is resolved
//     *.NAME:PORTS          every name below this one
//     ADDRESS[/BITS]:PORTS  these addresses, asked for by number or found behind a name that a rule allows.
//                           IPv6 in brackets: [2001:db8::/32]:443
//
// PORTS is 443, or 8000-8010. Names are compared without case, and a final dot means nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "egress/address.hpp"
#include "support/result.hpp"

namespace alcove::egress {

struct PortRange {
    uint16_t first = 0;
    uint16_t last = 0;

    bool contains(uint16_t port) const { return first <= port && port <= last; }
};

// A host name in the form in which names are compared: RFC 1123's letters, digits and hyphens, and the
// underscore. Nothing for what is none.
std::optional<std::string> normal_name(std::string_view text);

class Rules {
  public:
    static constexpr size_t kMost = 256;

    // ErrorCode::InvalidArgument names the rule.
    static Result<Rules> parse(std::span<const std::string> texts);

    // Whether this name may be asked for; then, where it is, if its rule says so.
    struct NameRule {
        std::optional<IpAddress> address;
    };
    std::optional<NameRule> for_name(std::string_view normal_name, uint16_t port) const;
    // Whether a range gives this address.
    bool gives(const IpAddress& address, uint16_t port) const;

  private:
    struct Name {
        std::string name;
        bool is_suffix;
        PortRange ports;
        std::optional<IpAddress> address;
    };
    struct Range {
        AddressRange addresses;
        PortRange ports;
    };
    bool add(std::string_view text);

    std::vector<Name> names_;
    std::vector<Range> ranges_;
};

}  // namespace alcove::egress
