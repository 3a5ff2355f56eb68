// SPDX-License-Identifier: Apache-2.0
#include "embedded/exec_protocol.hpp"

#include <algorithm>

namespace alcove::embedded {

namespace {

// Start's payload: this, then `arguments` and `environment` words, each ended by a NUL.
struct StartHead {
    uint8_t terminal = 0;
    uint8_t zero = 0;
    Le16 rows;
    Le16 columns;
    Le16 argument_count;
    Le16 environment_count;
};
static_assert(sizeof(StartHead) == 10);

bool known_kind(uint8_t kind) {
    return (kind >= static_cast<uint8_t>(RecordKind::Start) &&
            kind <= static_cast<uint8_t>(RecordKind::Signal)) ||
           (kind >= static_cast<uint8_t>(RecordKind::Output) &&
            kind <= static_cast<uint8_t>(RecordKind::Failed));
}

Result<void> append_words(Bytes& out, const std::vector<std::string>& words) {
    for (const auto& word : words) {
        if (word.find('\0') != std::string::npos)
            return fail(ErrorCode::InvalidArgument, "a word of the command has a NUL in it");
        out.insert(out.end(), word.begin(), word.end());
        out.push_back(0);
        if (out.size() > kMaxRecord)
            return fail(ErrorCode::LimitExceeded, "the command and its environment are longer than " +
                                                      std::to_string(kMaxRecord) + " bytes");
    }
    return {};
}

Result<std::vector<std::string>> take_words(ByteView& payload, size_t count) {
    std::vector<std::string> words;
    for (size_t i = 0; i < count; ++i) {
        const auto end = std::find(payload.begin(), payload.end(), uint8_t{0});
        if (end == payload.end()) return fail(ErrorCode::InvalidMessage, "a request's words are cut short");
        const auto length = static_cast<size_t>(end - payload.begin());
        words.emplace_back(as_text(payload.first(length)));
        payload = payload.subspan(length + 1);
    }
    return words;
}

}  // namespace

Result<Bytes> encode_request(const ExecRequest& request) {
    if (request.arguments.empty() || request.arguments[0].empty())
        return fail(ErrorCode::InvalidArgument, "no command was given");
    if (request.arguments.size() > kMaxRecord || request.environment.size() > kMaxRecord)
        return fail(ErrorCode::LimitExceeded, "the command has too many words");
    StartHead head;
    head.terminal = request.terminal ? 1 : 0;
    head.rows = request.rows;
    head.columns = request.columns;
    head.argument_count = static_cast<uint16_t>(request.arguments.size());
    head.environment_count = static_cast<uint16_t>(request.environment.size());
    Bytes out = to_bytes(object_bytes(head));
    TRY(append_words(out, request.arguments));
    TRY(append_words(out, request.environment));
    return out;
}

Result<ExecRequest> decode_request(ByteView payload) {
    const auto head = read_object<StartHead>(payload);
    if (!head || head->terminal > 1 || head->zero != 0 || head->argument_count == 0)
        return fail(ErrorCode::InvalidMessage, "a request to run a program is malformed");
    payload = payload.subspan(sizeof(StartHead));
    auto arguments = TRY(take_words(payload, head->argument_count));
    auto environment = TRY(take_words(payload, head->environment_count));
    ExecRequest request;
    request.arguments = std::move(arguments);
    request.environment = std::move(environment);
    if (!payload.empty() || request.arguments[0].empty())
        return fail(ErrorCode::InvalidMessage, "a request to run a program is malformed");
    request.terminal = head->terminal == 1;
    request.rows = head->rows;
    request.columns = head->columns;
    return request;
}

void append_record(Bytes& out, RecordKind kind, ByteView payload) {
    ALCOVE_CHECK(payload.size() <= kMaxRecord, "a record's payload is bounded");
    RecordHeader header;
    header.kind = static_cast<uint8_t>(kind);
    header.length = static_cast<uint32_t>(payload.size());
    const auto head = object_bytes(header);
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), payload.begin(), payload.end());
}

void RecordReader::append(ByteView bytes) {
    if (begin_ > 0) {
        bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
        begin_ = 0;
    }
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Record>> RecordReader::next() {
    const auto rest = ByteView(bytes_).subspan(begin_);
    const auto header = read_object<RecordHeader>(rest);
    if (!header) return std::optional<Record>();
    if (!known_kind(header->kind) || header->zero != std::array<uint8_t, 3>{} || header->length > kMaxRecord)
        return fail(ErrorCode::InvalidMessage, "a record is malformed");
    const size_t whole = sizeof(RecordHeader) + header->length;
    if (rest.size() < whole) return std::optional<Record>();
    begin_ += whole;
    return std::optional<Record>(Record{.kind = static_cast<RecordKind>(header->kind),
                                        .payload = rest.subspan(sizeof(RecordHeader), header->length)});
}

}  // namespace alcove::embedded
