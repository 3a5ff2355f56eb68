// SPDX-License-Identifier: Apache-2.0
//
// As much of HTTP/1.1 (RFC 9112) as a client needs that asks one thing a connection: a request is text, and
// a response is read to its end within limits, for the server is somebody else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::object_poll {

inline constexpr unsigned kNotModified = 304;  // RFC 9110, 15.4.5

class Stream {
  public:
    virtual ~Stream() = default;
    virtual Result<size_t> read(MutableByteView into) = 0;  // 0: the end
    virtual Result<void> write(ByteView bytes) = 0;         // all of them
};

struct Response {
    unsigned status = 0;
    std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
    std::string body;

    std::string field(std::string_view name) const;  // the first; empty when there is none
};

inline constexpr size_t kMaxHead = 16 * 1024;
inline constexpr size_t kMaxBody = 16 * 1024 * 1024;

enum class Body { Expected, None };
// ErrorCode::InvalidMessage, Truncated, LimitExceeded. Without a body nothing behind the head is read: what
// follows belongs to another protocol.
Result<Response> read_response(Stream& stream, Body body);

}  // namespace alcove::object_poll
