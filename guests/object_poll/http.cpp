// SPDX-License-Identifier: Apache-2.0
#include "object_poll/http.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace alcove::object_poll {

namespace {

constexpr size_t kMaxLine = 4096;
constexpr unsigned kNoContent = 204;

Failure malformed(const std::string& what) {
    return fail(ErrorCode::InvalidMessage, "the server's answer: " + what);
}

// Byte by byte where a line ends, in pieces where the length is known: never further than asked.
class Reader {
  public:
    explicit Reader(Stream& stream) : stream_(stream) {}

    Result<std::string> line() {
        std::string text;
        while (text.size() < kMaxLine) {
            uint8_t byte = 0;
            TRY(exactly(MutableByteView(&byte, 1)));
            if (byte == '\n' && text.ends_with('\r')) {
                text.pop_back();
                return text;
            }
            text += static_cast<char>(byte);
        }
        return fail(ErrorCode::LimitExceeded, "the server's answer: a line without end");
    }
    Result<void> exactly(MutableByteView into) {
        while (!into.empty()) {
            const size_t got = TRY(stream_.read(into));
            if (got == 0) return fail(ErrorCode::Truncated, "the server's answer ends early");
            into = into.subspan(got);
        }
        return {};
    }
    Result<void> append(std::string& body, size_t count) {
        if (count > kMaxBody - body.size()) return fail(ErrorCode::LimitExceeded, "the object is too large");
        const size_t before = body.size();
        body.resize(before + count);
        return exactly({reinterpret_cast<uint8_t*>(body.data()) + before, count});
    }
    Result<void> append_all(std::string& body) {
        Bytes piece(16 * 1024);
        while (true) {
            const size_t got = TRY(stream_.read(piece));
            if (got == 0) return {};
            if (got > kMaxBody - body.size())
                return fail(ErrorCode::LimitExceeded, "the object is too large");
            body += as_text(ByteView(piece).first(got));
        }
    }

  private:
    Stream& stream_;
};

template <typename T>
std::optional<T> number(std::string_view text, int base) {
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return result;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

// RFC 9112, 4: HTTP/1.1 SP 3DIGIT SP reason
Result<unsigned> status_in(std::string_view line) {
    const auto status = number<unsigned>(line.substr(std::min<size_t>(line.size(), 9), 3), 10);
    if (!line.starts_with("HTTP/1.") || line.size() < 12 || !status || *status < 100)
        return malformed("no status line");
    return *status;
}

Result<void> read_fields(Reader& reader, Response& response) {
    size_t total = 0;
    while (true) {
        const std::string line = TRY(reader.line());
        if (line.empty()) return {};
        total += line.size();
        if (total > kMaxHead) return fail(ErrorCode::LimitExceeded, "the server's answer: too many fields");
        const size_t colon = line.find(':');
        if (colon == std::string::npos || colon == 0) return malformed("a line that is no field");
        response.fields.emplace_back(lower(line.substr(0, colon)),
                                     std::string(trim(std::string_view(line).substr(colon + 1))));
    }
}

// RFC 9112, 7.1. Extensions and trailers are passed over.
Result<void> read_chunks(Reader& reader, std::string& body) {
    while (true) {
        const std::string line = TRY(reader.line());
        const auto size = number<uint32_t>(std::string_view(line).substr(0, line.find(';')), 16);
        if (!size) return malformed("a chunk without a size");
        if (*size == 0) break;
        TRY(reader.append(body, *size));
        const std::string end = TRY(reader.line());
        if (!end.empty()) return malformed("a chunk longer than its size");
    }
    Response trailers;
    return read_fields(reader, trailers);
}

// RFC 9112, 6.3
Result<void> read_body(Reader& reader, Response& response) {
    if (response.status == kNoContent || response.status == kNotModified) return {};
    const std::string coding = lower(response.field("transfer-encoding"));
    if (coding == "chunked") return read_chunks(reader, response.body);
    if (!coding.empty()) return malformed("an unknown transfer coding");
    const std::string length = response.field("content-length");
    if (length.empty()) return reader.append_all(response.body);
    const auto bytes = number<uint64_t>(length, 10);
    if (!bytes || *bytes > kMaxBody) return fail(ErrorCode::LimitExceeded, "the object is too large");
    return reader.append(response.body, *bytes);
}

}  // namespace

std::string Response::field(std::string_view name) const {
    const auto found = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
    return found == fields.end() ? std::string() : found->second;
}

Result<Response> read_response(Stream& stream, Body body) {
    Reader reader(stream);
    Response response;
    const std::string line = TRY(reader.line());
    response.status = TRY(status_in(line));
    TRY(read_fields(reader, response));
    if (body == Body::Expected) TRY(read_body(reader, response));
    return response;
}

}  // namespace alcove::object_poll
