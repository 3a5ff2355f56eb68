// SPDX-License-Identifier: Apache-2.0
//
// For tests: HTTP by hand, so that the server meets bytes that no library would send.
#pragma once

#include <string>

#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::daemon {

struct HttpAnswer {
    int status = 0;  // 0: the server closed without an answer
    std::string head;
    std::string body;
};

// Sends the bytes, then reads to the end.
inline HttpAnswer raw_request(const std::string& socket_path, const std::string& bytes) {
    const auto socket = sys::unix_connect(socket_path, SOCK_STREAM).value();
    static_cast<void>(
        sys::write_all(socket, as_byte_view(bytes)).has_value());  // the server may hang up first
    std::string text;
    Bytes buffer(65536);
    while (true) {
        const auto transfer = sys::read_some(socket, buffer);
        if (!transfer || transfer->bytes == 0) break;
        text += as_text(ByteView(buffer).first(transfer->bytes));
    }
    HttpAnswer answer;
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return answer;
    answer.head = text.substr(0, end);
    answer.body = text.substr(end + 4);
    answer.status = std::atoi(answer.head.substr(answer.head.find(' ') + 1).c_str());
    return answer;
}

inline HttpAnswer get(const std::string& socket_path, const std::string& target) {
    return raw_request(socket_path, "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
}

inline HttpAnswer post(const std::string& socket_path, const std::string& target, const std::string& body) {
    return raw_request(socket_path,
                       "POST " + target +
                           " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " +
                           std::to_string(body.size()) + "\r\n\r\n" + body);
}

}  // namespace alcove::daemon
