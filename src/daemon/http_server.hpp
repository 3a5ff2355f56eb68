// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 on a Unix socket that the caller made. cpp-httplib parses requests and writes answers; the
// sockets, threads and limits are ours, because that library binds by path with the umask's mode, waits with
// select() (which ends at descriptor 1023), and shows a handler nothing of the peer but a pid.
//
// One thread a connection, one request a connection; a request may wait long, so a pool of a few threads
// would starve. Everything a client sends is bounded before it is looked at.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <sys/types.h>

#include "support/bits.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

struct HttpRequest {
    std::string method;  // "GET", "POST" or "DELETE"
    std::string path;    // decoded
    std::map<std::string, std::string> query;
    std::string body;
    uid_t user = 0;  // of the process that connected
};

struct HttpResponse {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    // Instead of a body, in chunks: the next piece, an empty one when there is nothing yet (it may wait a
    // little before it says so), or nothing at the end.
    std::function<std::optional<std::string>()> stream;
};

struct HttpLimits {
    size_t connections = 256;  // served at once; more clients wait in the listener's queue
    size_t body_bytes = 64_KiB;
    size_t header_bytes = 16_KiB;
    size_t header_line_bytes = 4_KiB;
    size_t path_bytes = 256;
    std::chrono::milliseconds request_time{10'000};  // until the whole request is there
    std::chrono::milliseconds write_time{30'000};    // until a piece of an answer is taken
};

class HttpServer {
  public:
    // Called on a thread of its own for each request; several at a time. Does not throw.
    using Handler = std::function<HttpResponse(const HttpRequest&)>;
    // Makes the body of an error that is answered before the handler sees the request.
    using ErrorBody = std::function<std::string(int status)>;

    static Result<std::unique_ptr<HttpServer>> start(Fd listener, HttpLimits limits, Handler handler,
                                                     ErrorBody error_body);
    // Closes every connection and waits for the handlers to return.
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

  private:
    class Implementation;
    explicit HttpServer(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace alcove::daemon
