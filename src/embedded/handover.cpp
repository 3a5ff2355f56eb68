// SPDX-License-Identifier: Apache-2.0
#include "embedded/handover.hpp"

#include <charconv>
#include <chrono>

#include <poll.h>

#include "api/descriptor_messages.hpp"
#include "api/protocol.hpp"
#include "host/tap.hpp"
#include "support/error_catalog.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

namespace {

constexpr std::string_view kToken = "token ";
constexpr std::string_view kFailed = "failed ";
constexpr size_t kMaxLine = 1024;
constexpr std::chrono::seconds kPatience(30);

Result<std::string> make_token(const Fd& stream, std::string_view target, const std::string& socket) {
    if (target == kStreamTarget) return api::descriptors::offer(socket, stream);
    const auto tap = TRY(host::open_tap(std::string(target.substr(kTapPrefix.size()))));
    return api::descriptors::offer(socket, tap);
}

// Up to the end of the line, and not a byte further: what follows belongs to others.
Result<std::string> read_line(const Fd& stream) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::string line;
    while (line.size() < kMaxLine) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{.fd = stream.get(), .events = POLLIN, .revents = 0};
        if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) == 0)
            return fail(ErrorCode::Timeout, "the embedded host does not answer");
        uint8_t byte = 0;
        const auto got = TRY(sys::read_some(stream, MutableByteView(&byte, 1)));
        if (got.would_block) continue;
        if (got.bytes == 0) break;
        if (byte == '\n') return line;
        line += static_cast<char>(byte);
    }
    return fail(ErrorCode::InvalidMessage, "the embedded host's answer is no line");
}

Failure failure_in(std::string_view text) {
    uint16_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    auto code = ErrorCode::EmbeddedHostFailed;
    for (const auto& entry : error_catalog())
        if (error == std::errc() && static_cast<uint16_t>(entry.code) == number) code = entry.code;
    return fail(code, api::printable(as_byte_view(std::string_view(end, text.data() + text.size()))));
}

}  // namespace

std::string tap_target(const std::string& name) {
    return std::string(kTapPrefix) + name;
}

bool is_handover(std::string_view target) {
    return target == kStreamTarget || target.starts_with(kTapPrefix);
}

Result<void> serve_handover(const Fd& stream, std::string_view target,
                            const std::string& descriptors_socket) {
    const auto token = make_token(stream, target, descriptors_socket);
    if (token) return sys::write_all(stream, as_byte_view(std::string(kToken) + *token + "\n"));
    const auto& error = token.error();
    const std::string reason = api::printable(as_byte_view(error.to_string()));
    const std::string line = std::string(kFailed) + std::to_string(static_cast<uint16_t>(error.code())) +
                             " " + reason.substr(0, kMaxLine / 2) + "\n";
    TRY(sys::write_all(stream, as_byte_view(line)));
    return Failure{error};
}

Result<std::string> read_token(const Fd& stream) {
    auto line = TRY(read_line(stream));
    if (line.starts_with(kToken)) return line.substr(kToken.size());
    if (line.starts_with(kFailed)) return failure_in(std::string_view(line).substr(kFailed.size()));
    return fail(ErrorCode::InvalidMessage, "the embedded host's answer is no token");
}

}  // namespace alcove::embedded
