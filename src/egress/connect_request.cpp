// SPDX-License-Identifier: Apache-2.0
#include "egress/connect_request.hpp"

#include <algorithm>
#include <charconv>

namespace alcove::egress {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";

struct Phrase {
    Status status;
    std::string_view text;
};
constexpr Phrase kPhrases[] = {
    {Status::Established, "Connection Established"},
    {Status::BadRequest, "Bad Request"},
    {Status::Forbidden, "Forbidden"},
    {Status::MethodNotAllowed, "Method Not Allowed"},
    {Status::RequestTimeout, "Request Timeout"},
    {Status::HeadTooLarge, "Request Header Fields Too Large"},
    {Status::BadGateway, "Bad Gateway"},
    {Status::Unavailable, "Service Unavailable"},
    {Status::GatewayTimeout, "Gateway Timeout"},
    {Status::VersionNotSupported, "HTTP Version Not Supported"},
};

bool is_graphic(char c) {
    return c > ' ' && c <= '~';
}

// RFC 9110, 5.6.2
bool is_token(std::string_view text) {
    constexpr std::string_view kDelimiters = "\"(),/:;<=>?@[\\]{}";
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return is_graphic(c) && kDelimiters.find(c) == std::string_view::npos;
    });
}

// RFC 9112, 2.3
bool is_version(std::string_view text) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    return text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' &&
           is_digit(text[7]);
}

bool equal_without_case(std::string_view text, std::string_view lower) {
    return std::ranges::equal(text, lower, [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    });
}

std::string_view trim(std::string_view text) {
    const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && is_space(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_space(text.back()))
        text.remove_suffix(1);
    return text;
}

// host ":" port; an IPv6 address in brackets (RFC 9112, 3.2.3).
std::optional<ConnectTarget> parse_authority(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    const auto digits = text.substr(colon + 1);
    if (host.starts_with('[') != host.ends_with(']')) return std::nullopt;
    const bool in_brackets = host.starts_with('[');
    if (in_brackets) host = host.substr(1, host.size() - std::min<size_t>(host.size(), 2));
    const auto is_allowed = [in_brackets](char c) {
        return is_graphic(c) && c != '[' && c != ']' && c != '@' && c != '/' && (in_brackets || c != ':');
    };
    if (host.empty() || host.size() > kMaxHost || !std::ranges::all_of(host, is_allowed)) return std::nullopt;
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port == 0) return std::nullopt;
    return ConnectTarget{.host = std::string(host), .port = port};
}

// A field that says that content follows leaves open where the tunnel begins.
bool is_harmless_field(std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return false;
    const auto name = line.substr(0, colon);
    const auto value = trim(line.substr(colon + 1));
    const auto is_text = [](char c) {
        return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
    };
    if (!is_token(name) || !std::ranges::all_of(value, is_text)) return false;
    if (equal_without_case(name, "transfer-encoding")) return false;
    return !equal_without_case(name, "content-length") || value == "0";
}

}  // namespace

bool is_status(uint16_t number) {
    return std::ranges::any_of(
        kPhrases, [number](const Phrase& phrase) { return static_cast<uint16_t>(phrase.status) == number; });
}

std::optional<size_t> head_length(ByteView bytes) {
    const size_t end = as_text(bytes).find(kHeadEnd);
    if (end == std::string_view::npos) return std::nullopt;
    return end + kHeadEnd.size();
}

std::variant<ConnectTarget, Status> parse_connect(std::string_view head) {
    if (!head.ends_with(kHeadEnd)) return Status::BadRequest;
    head.remove_suffix(kLineEnd.size());
    const size_t line_end = head.find(kLineEnd);
    const auto line = head.substr(0, line_end);
    const size_t first = line.find(' ');
    const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos) return Status::BadRequest;
    const auto method = line.substr(0, first);
    const auto authority = line.substr(first + 1, second - first - 1);
    const auto version = line.substr(second + 1);
    if (!is_token(method) || !is_version(version)) return Status::BadRequest;
    if (method != "CONNECT") return Status::MethodNotAllowed;
    if (version != "HTTP/1.1" && version != "HTTP/1.0") return Status::VersionNotSupported;
    auto target = parse_authority(authority);
    if (!target) return Status::BadRequest;
    for (head.remove_prefix(line_end + kLineEnd.size()); !head.empty();) {
        const size_t end = head.find(kLineEnd);
        if (!is_harmless_field(head.substr(0, end))) return Status::BadRequest;
        head.remove_prefix(end + kLineEnd.size());
    }
    return std::move(*target);
}

std::string response(Status status) {
    const auto* found = std::ranges::find(kPhrases, status, &Phrase::status);
    std::string text =
        "HTTP/1.1 " + std::to_string(static_cast<uint16_t>(status)) + " " + std::string(found->text) + "\r\n";
    if (status == Status::MethodNotAllowed) text += "Allow: CONNECT\r\n";
    if (status != Status::Established) text += "Content-Length: 0\r\nConnection: close\r\n";
    return text + "\r\n";
}

}  // namespace alcove::egress
