// SPDX-License-Identifier: Apache-2.0
#include "api/descriptor_messages.hpp"

#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::api::descriptors {

namespace {

constexpr std::chrono::seconds kPatience(10);

}  // namespace

Result<std::string> offer(const std::string& socket_path, const Fd& descriptor) {
    auto socket = TRY(sys::unix_connect(socket_path, SOCK_SEQPACKET));
    const Channel channel(std::move(socket));
    TRY(exchange_hello(channel, kProtocol, kVersions));
    TRY(channel.send(encode(Offer{.request = 1, .reserved = {}}), {descriptor.get()}));
    const auto answer = TRY(channel.receive_within(kPatience));
    const auto envelope = TRY(open_envelope(answer.data));
    const auto token = TRY(decode_answer<Token>(envelope));
    const auto text = token.token.text();
    if (!text) return fail(ErrorCode::InvalidMessage, "alcoved gave no token");
    return std::string(*text);
}

}  // namespace alcove::api::descriptors
