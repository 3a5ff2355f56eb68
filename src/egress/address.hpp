// SPDX-License-Identifier: Apache-2.0
//
// IP addresses as values, and which of them are anybody's to reach: the rest is this host, its neighbours, or
// nobody.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include <sys/socket.h>

#include "support/bytes.hpp"

namespace alcove::egress {

// Of either version. An IPv4 address in IPv6's clothes (::ffff:a.b.c.d) is the IPv4 address.
class IpAddress {
  public:
    // Numbers only, in the forms of inet_pton(3): nothing is resolved, and "127.1" is no address.
    static std::optional<IpAddress> parse(std::string_view text);
    // Nothing for another family.
    static std::optional<IpAddress> of(const sockaddr& address);

    bool is_v4() const { return size_ == 4; }
    ByteView bytes() const { return ByteView(bytes_).first(size_); }
    std::string text() const;

    // For connect(): its length is in `size`.
    sockaddr_storage socket_address(uint16_t port, socklen_t& size) const;

    auto operator<=>(const IpAddress&) const = default;

  private:
    IpAddress(const void* bytes, size_t size);

    std::array<uint8_t, 16> bytes_{};
    uint8_t size_ = 0;
};

struct AddressRange {
    IpAddress base;
    unsigned prefix_bits;

    // "192.0.2.0/24", "2001:db8::/32"; without a length, the address alone.
    static std::optional<AddressRange> parse(std::string_view text);
    bool contains(const IpAddress& address) const;
};

// Whether the Internet routes it to one place (IANA's special-purpose address registries, RFC 6890, and
// multicast): not loopback, private, link-local, unique-local, shared, documentation, benchmark, reserved. An
// address that only wraps another (NAT64, RFC 6052) is what is wrapped; 6to4 and Teredo are not routed.
bool is_public(const IpAddress& address);

}  // namespace alcove::egress
