// SPDX-License-Identifier: Apache-2.0
#include "api/ne_messages.hpp"

#include <optional>

namespace alcove::api::ne {

namespace {

template <typename T>
Result<void> decode_as(const Envelope& envelope, std::optional<CommandBody>& command) {
    if (envelope.type != T::kType) return {};
    const auto body = TRY(decode<T>(envelope));
    if constexpr (requires { body.reserved; }) {
        if (body.reserved != 0)
            return fail(ErrorCode::InvalidMessage,
                        "a command of type " + std::to_string(envelope.type) + " with a reserved field set");
    }
    command.emplace(body);
    return {};
}

template <typename... Ts>
Result<CommandBody> decode_any(std::variant<Ts...>*, const Envelope& envelope) {
    std::optional<CommandBody> command;
    Result<void> decoded;
    ((decoded = decode_as<Ts>(envelope, command), decoded && !command) && ...);
    if (!decoded) return Failure{std::move(decoded).error()};
    if (!command) return wrong_body(envelope.type, envelope.body.size());
    return *command;
}

}  // namespace

Result<CommandBody> decode_command(const Envelope& envelope) {
    return decode_any(static_cast<CommandBody*>(nullptr), envelope);
}

Bytes encode_command(const CommandBody& command) {
    return std::visit([](const auto& body) { return encode(body); }, command);
}

uint32_t request_of(const CommandBody& command) {
    return std::visit([](const auto& body) -> uint32_t { return body.request; }, command);
}

}  // namespace alcove::api::ne
