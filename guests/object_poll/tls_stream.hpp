// SPDX-License-Identifier: Apache-2.0
//
// TLS to a server whose certificate must lead to the one authority that is in the image, and name the host:
// what carries the bytes, the host and its egress among it, can only cut them off.
#pragma once

#include <memory>
#include <string>

#include "object_poll/http.hpp"
#include "support/fd.hpp"

extern "C" {
struct ssl_ctx_st;
}

namespace alcove::object_poll {

// A connected socket with its own time limits.
class SocketStream : public Stream {
  public:
    explicit SocketStream(Fd socket) : socket_(std::move(socket)) {}
    Result<size_t> read(MutableByteView into) override;
    Result<void> write(ByteView bytes) override;
    const Fd& fd() const { return socket_; }

  private:
    Fd socket_;
};

class TlsClient {
  public:
    static Result<TlsClient> create(const std::string& authority_file);  // PEM

    // The stream is owned by what comes back.
    Result<std::unique_ptr<Stream>> handshake(std::unique_ptr<SocketStream> socket,
                                              const std::string& host) const;

  private:
    struct Free {
        void operator()(ssl_ctx_st* context) const;
    };
    explicit TlsClient(ssl_ctx_st* context) : context_(context) {}

    std::unique_ptr<ssl_ctx_st, Free> context_;
};

}  // namespace alcove::object_poll
