// SPDX-License-Identifier: Apache-2.0
//
// The key service itself: a private key that never leaves this object, and the answers to the two requests.
// Where the messages come from is server.hpp's business.
#pragma once

#include "key_service/attester.hpp"
#include "key_service/protocol.hpp"
#include "key_service/sealing.hpp"

namespace alcove::key_service {

class KeyService {
  public:
    // With a new key. `attester` is borrowed.
    static Result<KeyService> create(Attester& attester);

    const Bytes& public_key() const { return key_.public_key(); }

    // There is an answer to every message, if only a refusal. May be called by several threads at once.
    Reply answer(ByteView message) const;

  private:
    KeyService(KeyPair key, Attester& attester) : key_(std::move(key)), attester_(&attester) {}

    Reply answer_one(const Challenge& challenge) const;
    Reply answer_one(const Decrypt& request) const;
    Result<Answer> decrypt(const Decrypt& request) const;

    KeyPair key_;
    Attester* attester_;
};

Refusal refusal(RefusalReason reason, std::string text);

}  // namespace alcove::key_service
