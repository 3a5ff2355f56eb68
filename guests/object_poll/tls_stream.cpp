// SPDX-License-Identifier: Apache-2.0
#include "object_poll/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "support/system.hpp"

namespace alcove::object_poll {

namespace {

Failure refused(const std::string& what) {
    char text[256] = "no reason given";
    if (const unsigned long error = ERR_get_error(); error != 0) ERR_error_string_n(error, text, sizeof text);
    ERR_clear_error();
    return fail(ErrorCode::CryptoFailed, what + ": " + text);
}

class TlsStream : public Stream {
  public:
    TlsStream(std::unique_ptr<SocketStream> socket, SSL* session)
        : socket_(std::move(socket)), session_(session) {}

    Result<size_t> read(MutableByteView into) override {
        size_t got = 0;
        if (SSL_read_ex(session_.get(), into.data(), into.size(), &got) == 1) return got;
        // An end that TLS did not announce may have been made by anybody.
        if (SSL_get_error(session_.get(), 0) == SSL_ERROR_ZERO_RETURN) return size_t{0};
        return refused("reading over TLS");
    }
    Result<void> write(ByteView bytes) override {
        size_t written = 0;
        if (SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &written) == 1) return {};
        return refused("writing over TLS");
    }

  private:
    struct Free {
        void operator()(SSL* session) const { SSL_free(session); }
    };

    std::unique_ptr<SocketStream> socket_;
    std::unique_ptr<SSL, Free> session_;
};

}  // namespace

Result<size_t> SocketStream::read(MutableByteView into) {
    const auto got = TRY(sys::read_some(socket_, into));
    if (got.would_block) return fail(ErrorCode::Timeout, "the other side is silent");
    return got.bytes;
}

Result<void> SocketStream::write(ByteView bytes) {
    return sys::write_all(socket_, bytes);
}

void TlsClient::Free::operator()(ssl_ctx_st* context) const {
    SSL_CTX_free(context);
}

Result<TlsClient> TlsClient::create(const std::string& authority_file) {
    TlsClient client(SSL_CTX_new(TLS_client_method()));
    if (client.context_ == nullptr) return refused("TLS");
    SSL_CTX_set_min_proto_version(client.context_.get(), TLS1_2_VERSION);
    SSL_CTX_set_verify(client.context_.get(), SSL_VERIFY_PEER, nullptr);
    if (SSL_CTX_load_verify_file(client.context_.get(), authority_file.c_str()) != 1)
        return refused("the authority in " + authority_file);
    return client;
}

Result<std::unique_ptr<Stream>> TlsClient::handshake(std::unique_ptr<SocketStream> socket,
                                                     const std::string& host) const {
    SSL* const session = SSL_new(context_.get());
    if (session == nullptr) return refused("TLS");
    const int descriptor = socket->fd().get();
    auto stream = std::make_unique<TlsStream>(std::move(socket), session);
    // What SSL_set_tlsext_host_name() is, without its old-style cast; the name is copied.
    char* const name = const_cast<char*>(host.c_str());
    if (SSL_set_fd(session, descriptor) != 1 ||
        SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) != 1 ||
        SSL_set1_host(session, host.c_str()) != 1)
        return refused("TLS to " + host);
    if (SSL_connect(session) != 1) {
        const long verdict = SSL_get_verify_result(session);
        if (verdict != X509_V_OK)
            return fail(ErrorCode::ChainInvalid,
                        "TLS to " + host + ": " + X509_verify_cert_error_string(verdict));
        return refused("TLS to " + host);
    }
    return std::unique_ptr<Stream>(std::move(stream));
}

}  // namespace alcove::object_poll
