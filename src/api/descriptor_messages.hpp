// SPDX-License-Identifier: Apache-2.0
//
// How a client hands alcoved a file without naming a path: descriptors do not travel through HTTP. On
// descriptors.sock (SOCK_SEQPACKET, same directory and group as the control socket) both ends send Hello,
// then
//
//     Offer + descriptor  ->  Token      names the descriptor, once, for 60 seconds, for the same user
//     Offer               ->  Failed     (api/protocol.hpp)
//
// and the token goes into the JSON of a request. A Unix socket shows the user who connected, so a token that
// somebody else learned is worth nothing to him.
#pragma once

#include <string>

#include "api/protocol.hpp"
#include "support/fd.hpp"

namespace alcove::api::descriptors {

inline constexpr auto kProtocol = Protocol::Descriptors;
inline constexpr VersionRange kVersions{.min = 1, .max = 1};
inline constexpr const char* kSocketName = "descriptors.sock";
inline constexpr size_t kTokenDigits = 32;  // 128 random bits in hexadecimal

struct Offer {
    static constexpr uint16_t kType = 16;

    Le32 request;
    Le32 reserved;
};

struct Token {
    static constexpr uint16_t kType = 17;

    Le32 request;
    Le32 valid_seconds;
    TextField<kTokenDigits> token;
};
static_assert(sizeof(Token) == 40);

// The client's half: the token for a copy of this descriptor, from the server at this path. May block for as
// long as the server does, up to some seconds.
Result<std::string> offer(const std::string& socket_path, const Fd& descriptor);

}  // namespace alcove::api::descriptors
