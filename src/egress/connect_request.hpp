// SPDX-License-Identifier: Apache-2.0
//
// The request that opens a tunnel: CONNECT (RFC 9110, 9.3.6; the syntax is RFC 9112's). It is written by the
// enclave, and read strictly: lines end in CR LF, nothing is folded, and what could be read in two ways is
// refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "support/bytes.hpp"

namespace alcove::egress {

inline constexpr size_t kMaxHead = 8192;  // bytes, its empty line included
inline constexpr size_t kMaxHost = 255;

// RFC 9110, 15; 431 is RFC 6585's.
enum class Status : uint16_t {
    Established = 200,
    BadRequest = 400,
    Forbidden = 403,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    HeadTooLarge = 431,
    BadGateway = 502,
    Unavailable = 503,
    GatewayTimeout = 504,
    VersionNotSupported = 505,
};
bool is_status(uint16_t number);

struct ConnectTarget {
    std::string host;  // a name, or an address without brackets; not looked at any closer
    uint16_t port = 0;
};

// How long the request's head is, its empty line included; nothing while that has not come.
std::optional<size_t> head_length(ByteView bytes);
// A whole head.
std::variant<ConnectTarget, Status> parse_connect(std::string_view head);

// The answer. But for Established the connection ends behind it.
std::string response(Status status);

}  // namespace alcove::egress
