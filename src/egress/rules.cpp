// SPDX-License-Identifier: Apache-2.0
#include "egress/rules.hpp"

#include <algorithm>
#include <charconv>

namespace alcove::egress {

namespace {

constexpr size_t kMaxName = 253;  // RFC 1035, 2.3.4
constexpr size_t kMaxLabel = 63;
constexpr std::string_view kBelow = "*.";

std::optional<uint16_t> parse_port(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

std::optional<PortRange> parse_ports(std::string_view text) {
    const size_t dash = text.find('-');
    const auto first = parse_port(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    return PortRange{.first = *first, .last = *last};
}

bool is_label(std::string_view label) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    return !label.empty() && label.size() <= kMaxLabel && std::ranges::all_of(label, allowed) &&
           label.front() != '-' && label.back() != '-';
}

}  // namespace

std::optional<std::string> normal_name(std::string_view text) {
    if (text.ends_with('.')) text.remove_suffix(1);
    if (text.empty() || text.size() > kMaxName) return std::nullopt;
    std::string name(text);
    for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    for (size_t begin = 0; begin <= name.size();) {
        const size_t end = std::min(name.find('.', begin), name.size());
        if (!is_label(std::string_view(name).substr(begin, end - begin))) return std::nullopt;
        begin = end + 1;
    }
    return name;
}

Result<Rules> Rules::parse(std::span<const std::string> texts) {
    if (texts.size() > kMost)
        return fail(ErrorCode::LimitExceeded, "at most " + std::to_string(kMost) + " rules");
    Rules rules;
    for (const auto& text : texts)
        if (!rules.add(text))
            return fail(ErrorCode::InvalidArgument,
                        "'" + text +
                            "' is no rule: NAME:PORTS, *.NAME:PORTS, NAME:PORTS=ADDRESS, "
                            "ADDRESS/BITS:PORTS or [IPv6/BITS]:PORTS");
    return rules;
}

bool Rules::add(std::string_view text) {
    const size_t equals = text.find('=');
    const auto left = text.substr(0, equals);
    const size_t colon = left.rfind(':');
    if (colon == std::string_view::npos) return false;
    const auto ports = parse_ports(left.substr(colon + 1));
    auto host = left.substr(0, colon);
    if (!ports) return false;

    const bool in_brackets = host.starts_with('[') && host.ends_with(']');
    if (in_brackets) host = host.substr(1, host.size() - 2);
    const auto range = AddressRange::parse(host);
    if (range && range->base.is_v4() == in_brackets) return false;
    if (range && equals != std::string_view::npos) return false;
    if (range) {
        ranges_.push_back({.addresses = *range, .ports = *ports});
        return true;
    }
    const bool is_suffix = host.starts_with(kBelow);
    const auto name = normal_name(is_suffix ? host.substr(kBelow.size()) : host);
    if (!name || in_brackets) return false;
    std::optional<IpAddress> address;
    if (equals != std::string_view::npos) {
        address = IpAddress::parse(text.substr(equals + 1));
        if (!address || is_suffix) return false;
    }
    names_.push_back({.name = *name, .is_suffix = is_suffix, .ports = *ports, .address = address});
    return true;
}

std::optional<Rules::NameRule> Rules::for_name(std::string_view name, uint16_t port) const {
    const auto matches = [&](const Name& rule) {
        if (!rule.ports.contains(port)) return false;
        if (!rule.is_suffix) return rule.name == name;
        return name.size() > rule.name.size() + 1 && name.ends_with(rule.name) &&
               name[name.size() - rule.name.size() - 1] == '.';
    };
    const auto found = std::ranges::find_if(names_, matches);
    if (found == names_.end()) return std::nullopt;
    return NameRule{.address = found->address};
}

bool Rules::gives(const IpAddress& address, uint16_t port) const {
    return std::ranges::any_of(ranges_, [&](const Range& rule) {
        return rule.ports.contains(port) && rule.addresses.contains(address);
    });
}

}  // namespace alcove::egress
