// SPDX-License-Identifier: Apache-2.0
//
// The way from an enclave's NSM to the process that holds the keys. The VMM has no PCR and no key of its own:
// every request but for random numbers is asked over this. Nothing here blocks the event loop.
#pragma once

#include <functional>

#include "api/attestor_messages.hpp"
#include "support/result.hpp"

namespace alcove::nsm {

class AttestorClient {
  public:
    // The answer's datagram, whose header has been checked.
    using Answer = std::function<void(Result<Bytes>)>;

    virtual ~AttestorClient() = default;

    // Sends a request (api/attestor_messages.hpp) that carries the number `request`, of no other that waits.
    // `answer` is called once, from the loop, never from within ask(); not at all after the client is gone.
    virtual void ask(uint32_t request, Bytes message, Answer answer) = 0;
};

}  // namespace alcove::nsm
