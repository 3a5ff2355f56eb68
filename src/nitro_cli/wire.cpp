// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/wire.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli::wire {

namespace {

namespace cbor = codec::cbor;

constexpr uint64_t kMaxRequestItem = 4_KiB;
constexpr uint64_t kMaxMessage = 8_MiB;
constexpr cbor::Limits kLimits{.bytes = kMaxMessage, .items = 64, .depth = 4};

struct Name {
    Command command;
    std::string_view text;
};
constexpr std::array kNames{
    Name{Command::Terminate, "Terminate"},           Name{Command::Describe, "Describe"},
    Name{Command::GetEnclaveCid, "GetEnclaveCID"},   Name{Command::GetEnclaveFlags, "GetEnclaveFlags"},
    Name{Command::GetEnclaveName, "GetEnclaveName"}, Name{Command::GetIdByName, "GetIDbyName"}};

bool has_arguments(Command command) {
    return command == Command::Describe || command == Command::GetIdByName;
}

void append(Bytes& to, ByteView bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_frame(Bytes& to, ByteView item) {
    append(to, encode_number(item.size()));
    append(to, item);
}

// The next frame's item, or nothing while it is not whole.
Result<std::optional<ByteView>> take_frame(ByteView& bytes) {
    const auto length = read_object<Le64>(bytes);
    if (!length) return std::optional<ByteView>();
    const uint64_t size = *length;
    if (size > kMaxRequestItem) return fail(FailureCode::InvalidCommand, "a request that is too long");
    if (bytes.size() - sizeof(Le64) < size) return std::optional<ByteView>();
    const auto item = bytes.subspan(sizeof(Le64), size);
    bytes = bytes.subspan(sizeof(Le64) + size);
    return std::optional<ByteView>(item);
}

Result<Command> decode_command(ByteView item) {
    const auto value = TRY(cbor::decode(item, kLimits));
    const auto text = TRY(value.as_text());
    const auto* name = std::ranges::find(kNames, text, &Name::text);
    if (name == kNames.end()) return fail(FailureCode::InvalidCommand, "an unknown command");
    return name->command;
}

Result<void> decode_arguments(ByteView item, Request& request) {
    const auto value = TRY(cbor::decode(item, kLimits));
    if (request.command == Command::GetIdByName) {
        const auto name = TRY(value.as_text());
        request.name = std::string(name);
        return {};
    }
    const auto* map = TRY(value.as_map());
    const auto* metadata = TRY(map->at("metadata"));
    request.metadata = TRY(metadata->as_boolean());
    return {};
}

Result<std::optional<Request>> decode_request(ByteView bytes) {
    const auto first = TRY(take_frame(bytes));
    if (!first) return std::optional<Request>();
    const auto command = TRY(decode_command(*first));
    Request request{.command = command};
    const auto again = TRY(take_frame(bytes));
    if (!again) return std::optional<Request>();
    if (!std::ranges::equal(*first, *again))
        return fail(FailureCode::InvalidCommand, "a request that contradicts itself");
    if (has_arguments(request.command)) {
        const auto arguments = TRY(take_frame(bytes));
        if (!arguments) return std::optional<Request>();
        TRY(decode_arguments(*arguments, request));
    }
    return std::optional<Request>(std::move(request));
}

}  // namespace

Bytes encode(const Request& request) {
    const auto* name = std::ranges::find(kNames, request.command, &Name::command);
    cbor::Writer command;
    command.text(name->text);
    Bytes bytes;
    append_frame(bytes, command.view());
    append_frame(bytes, command.view());
    cbor::Writer arguments;
    if (request.command == Command::Describe) arguments.map(1).text("metadata").boolean(request.metadata);
    if (request.command == Command::GetIdByName) arguments.text(request.name);
    if (has_arguments(request.command)) append_frame(bytes, arguments.view());
    return bytes;
}

Result<std::optional<Request>> RequestReader::feed(ByteView piece) {
    // Three frames at most; a peer that sends more is not waited for.
    if (bytes_.size() + piece.size() > 3 * (kMaxRequestItem + sizeof(Le64)))
        return fail(FailureCode::InvalidCommand, "a request that is too long");
    append(bytes_, piece);
    return coded(FailureCode::InvalidCommand, decode_request(bytes_));
}

Bytes encode_number(uint64_t number) {
    const Le64 wire(number);
    return to_bytes(object_bytes(wire));
}

Bytes encode_message(Stream stream, std::string_view text) {
    cbor::Writer item;
    item.map(1).text(stream == Stream::Out ? "StdOutMessage" : "StdErrMessage").text(text);
    Bytes bytes;
    append_frame(bytes, item.view());
    return bytes;
}

Bytes encode_status(int status) {
    cbor::Writer item;
    item.map(1).text("Status").integer(status);
    Bytes bytes;
    append_frame(bytes, item.view());
    return bytes;
}

Result<Message> decode_message(ByteView item) {
    const auto value = TRY(cbor::decode(item, kLimits));
    const auto* map = TRY(value.as_map());
    Message message;
    if (const auto* status = map->find("Status")) {
        const auto number = TRY(status->as_integer());
        message.status = checked_cast<int>(number);
        if (!message.status) return fail(FailureCode::Serde, "a status that is no status");
        return message;
    }
    const auto* out = map->find("StdOutMessage");
    const auto* value_of_text = out;
    if (out == nullptr) value_of_text = TRY(map->at("StdErrMessage"));
    const auto text = TRY(value_of_text->as_text());
    message.text.emplace(out != nullptr ? Stream::Out : Stream::Err, std::string(text));
    return message;
}

Result<uint64_t> read_number(const Fd& socket) {
    Bytes bytes(sizeof(Le64));
    TRY(sys::read_exact(socket, bytes));
    return uint64_t{*read_object<Le64>(bytes)};
}

Result<Answer> read_answer(const Fd& socket, const std::function<void(std::string_view)>& err) {
    Answer answer;
    while (true) {
        const auto length = read_number(socket);
        if (!length) return answer;  // the end, or as good as it
        if (*length > kMaxMessage) return fail(FailureCode::Serde, "an answer that is too long");
        Bytes item(*length);
        TRY(coded(FailureCode::Serde, sys::read_exact(socket, item)));
        auto message = TRY(coded(FailureCode::Serde, decode_message(item)));
        if (message.status) answer.status = message.status;
        if (!message.text) continue;
        if (message.text->first == Stream::Err) {
            err(message.text->second);
        } else if (answer.out.size() + message.text->second.size() <= kMaxMessage) {
            answer.out += message.text->second;
        }
    }
}

}  // namespace alcove::nitro_cli::wire
