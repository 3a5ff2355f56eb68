// SPDX-License-Identifier: Apache-2.0
#include "egress/address.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace alcove::egress {

namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Not anybody's (RFC 6890 and its registry), and multicast, which is of many.
constexpr std::string_view kNotPublic4[] = {
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",    "240.0.0.0/4"};
// All that is given out is in 2000::/3 (RFC 4291, 2.4).
constexpr std::string_view kUnicast6 = "2000::/3";
constexpr std::string_view kNotPublic6[] = {"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"};
constexpr std::string_view kNat64 = "64:ff9b::/96";

bool is_in(const IpAddress& address, std::string_view range) {
    return AddressRange::parse(range)->contains(address);
}

}  // namespace

IpAddress::IpAddress(const void* bytes, size_t size) : size_(static_cast<uint8_t>(size)) {
    const auto* from = static_cast<const uint8_t*>(bytes);
    if (size == 16 && std::equal(kMapped.begin(), kMapped.end(), from)) {
        from += kMapped.size();
        size_ = 4;
    }
    std::copy_n(from, size_, bytes_.begin());
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    const std::string copy(text);
    if (copy.find('\0') != std::string::npos) return std::nullopt;
    std::array<uint8_t, 16> bytes{};
    if (::inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1) return IpAddress(bytes.data(), 4);
    if (::inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return IpAddress(bytes.data(), 16);
    return std::nullopt;
}

std::optional<IpAddress> IpAddress::of(const sockaddr& address) {
    if (address.sa_family == AF_INET)
        return IpAddress(&reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    if (address.sa_family == AF_INET6)
        return IpAddress(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
    return std::nullopt;
}

std::string IpAddress::text() const {
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
    return text;
}

sockaddr_storage IpAddress::socket_address(uint16_t port, socklen_t& size) const {
    sockaddr_storage storage{};
    if (is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&v4.sin_addr, bytes_.data(), size_);
        std::memcpy(&storage, &v4, size = sizeof v4);
    } else {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        std::memcpy(&v6.sin6_addr, bytes_.data(), size_);
        std::memcpy(&storage, &v6, size = sizeof v6);
    }
    return storage;
}

std::optional<AddressRange> AddressRange::parse(std::string_view text) {
    const size_t slash = text.find('/');
    const auto base = IpAddress::parse(text.substr(0, slash));
    if (!base) return std::nullopt;
    const auto all = static_cast<unsigned>(base->bytes().size() * 8);
    AddressRange range{.base = *base, .prefix_bits = all};
    if (slash == std::string_view::npos) return range;
    const auto digits = text.substr(slash + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), range.prefix_bits);
    if (error != std::errc() || end != digits.data() + digits.size() || range.prefix_bits > all)
        return std::nullopt;
    return range;
}

bool AddressRange::contains(const IpAddress& address) const {
    if (address.is_v4() != base.is_v4()) return false;
    for (unsigned bit = 0; bit < prefix_bits; bit += 8) {
        const unsigned bits = std::min(8U, prefix_bits - bit);
        const auto mask = static_cast<uint8_t>(0xff00U >> bits);
        if (((address.bytes()[bit / 8] ^ base.bytes()[bit / 8]) & mask) != 0) return false;
    }
    return true;
}

bool is_public(const IpAddress& address) {
    const auto is_one_of = [&](const auto& ranges) {
        return std::ranges::any_of(ranges, [&](std::string_view range) { return is_in(address, range); });
    };
    if (address.is_v4()) return !is_one_of(kNotPublic4);
    if (is_in(address, kNat64)) {
        sockaddr_in wrapped{};
        wrapped.sin_family = AF_INET;
        std::memcpy(&wrapped.sin_addr, address.bytes().subspan(12).data(), 4);
        return is_public(*IpAddress::of(reinterpret_cast<const sockaddr&>(wrapped)));
    }
    return is_in(address, kUnicast6) && !is_one_of(kNotPublic6);
}

}  // namespace alcove::egress
