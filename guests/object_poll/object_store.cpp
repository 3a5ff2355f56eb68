// SPDX-License-Identifier: Apache-2.0
#include "object_poll/object_store.hpp"

namespace alcove::object_poll {

namespace {

constexpr size_t kMaxKeys = 1000;
constexpr unsigned kOk = 200;

Result<Response> get(const Connect& connect, const Place& place, const std::string& path,
                     const std::string& fields) {
    const auto stream = TRY(connect());
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + place.authority +
                                "\r\nConnection: close\r\n" + fields + "\r\n";
    TRY(stream->write(as_byte_view(request)));
    return read_response(*stream, Body::Expected);
}

Failure refused(const std::string& what, unsigned status) {
    return fail(ErrorCode::PermissionDenied, what + ": the server answers " + std::to_string(status));
}

std::string decoded(std::string_view text) {
    constexpr std::pair<std::string_view, char> kEntities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    std::string result;
    while (!text.empty()) {
        size_t used = 1;
        char c = text.front();
        for (const auto& [entity, meant] : kEntities)
            if (text.starts_with(entity)) used = entity.size(), c = meant;
        result += c;
        text.remove_prefix(used);
    }
    return result;
}

}  // namespace

std::vector<std::string> keys_in(std::string_view listing, size_t most) {
    constexpr std::string_view kBegin = "<Key>";
    constexpr std::string_view kEnd = "</Key>";
    std::vector<std::string> keys;
    while (keys.size() < most) {
        const size_t begin = listing.find(kBegin);
        if (begin == std::string_view::npos) break;
        listing.remove_prefix(begin + kBegin.size());
        const size_t end = listing.find(kEnd);
        if (end == std::string_view::npos) break;
        keys.push_back(decoded(listing.substr(0, end)));
        listing.remove_prefix(end + kEnd.size());
    }
    return keys;
}

Result<void> open_tunnel(Stream& stream, const std::string& authority) {
    TRY(stream.write(as_byte_view("CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n")));
    const auto response = TRY(read_response(stream, Body::None));
    if (response.status != kOk) return refused("the egress to " + authority, response.status);
    return {};
}

Result<void> poll_once(const Connect& connect, const Place& place, Seen& seen) {
    seen.changed = false;
    const auto listing = TRY(get(connect, place, "/" + place.bucket + "?list-type=2", ""));
    if (listing.status != kOk) return refused("listing " + place.bucket, listing.status);
    seen.keys = keys_in(listing.body, kMaxKeys);
    const std::string only_new = seen.etag.empty() ? "" : "If-None-Match: " + seen.etag + "\r\n";
    auto object = TRY(get(connect, place, "/" + place.bucket + "/" + place.key, only_new));
    if (object.status == kNotModified) return {};
    if (object.status != kOk) return refused("object " + place.key, object.status);
    seen.etag = object.field("etag");
    seen.body = std::move(object.body);
    seen.changed = true;
    return {};
}

}  // namespace alcove::object_poll
