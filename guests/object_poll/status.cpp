// SPDX-License-Identifier: Apache-2.0
#include "object_poll/status.hpp"

#include <cstdio>

namespace alcove::object_poll {

namespace {

// RFC 8259, 7
std::string json_text(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            result += std::string("\\") + c;
        } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            result += escape;
        } else {
            result += c;
        }
    }
    return result + "\"";
}

}  // namespace

void Status::record(const Seen& seen, const Result<void>& outcome, const std::string& sha256) {
    const std::lock_guard lock(mutex_);
    ++polls_;
    if (seen.changed) ++changes_;
    etag_ = seen.etag;
    bytes_ = seen.body.size();
    sha256_ = sha256;
    keys_ = seen.keys;
    error_ = outcome ? "" : outcome.error().to_string();
}

std::string Status::json() const {
    const std::lock_guard lock(mutex_);
    std::string keys;
    for (const auto& key : keys_)
        keys += (keys.empty() ? "" : ",") + json_text(key);
    return "{\"polls\":" + std::to_string(polls_) + ",\"changes\":" + std::to_string(changes_) +
           ",\"etag\":" + json_text(etag_) + ",\"bytes\":" + std::to_string(bytes_) +
           ",\"sha256\":" + json_text(sha256_) + ",\"keys\":[" + keys +
           "],\"error\":" + (error_.empty() ? "null" : json_text(error_)) + "}\n";
}

}  // namespace alcove::object_poll
