// SPDX-License-Identifier: Apache-2.0
//
// The other side of the service: asks for a document, and sends a secret to a public key. It trusts nothing
// that the connection says; what key to trust is for its caller to find out, by verifying the document.
#pragma once

#include <array>
#include <cstdint>

#include "key_service/message_stream.hpp"
#include "key_service/protocol.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::key_service {

// What the service made of a secret, checked against the secret.
struct Opened {
    std::array<uint8_t, 32> digest;
    uint32_t length;
    Bytes echo;
};

class Client {
  public:
    explicit Client(MessageStream stream) : stream_(std::move(stream)) {}

    // An attestation document, not verified.
    Result<Bytes> challenge(ByteView nonce);

    // Seals the secret to `service_public_key` with a fresh key, and opens the answer. That the answer is
    // right shows that the service holds the private key.
    Result<Opened> send_secret(ByteView service_public_key, ByteView secret);

  private:
    Result<Reply> ask(const Request& request);

    MessageStream stream_;
};

// Asks the VMM at the other end of a fresh Unix connection for a port of its enclave: `CONNECT <port>\n`,
// answered by `OK <number>\n`. From there on the stream is the enclave's.
Result<void> connect_to_port(MessageStream& stream, uint32_t port);

}  // namespace alcove::key_service
