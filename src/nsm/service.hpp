// SPDX-License-Identifier: Apache-2.0
//
// The Nitro Secure Module without its device: the bytes of a request in, the bytes of an answer out. Decodes,
// asks the attestor, encodes. Random numbers are made here; nothing else is known here.
#pragma once

#include <functional>
#include <memory>

#include "nsm/attestor_client.hpp"
#include "nsm/request.hpp"
#include "support/log.hpp"

namespace alcove::nsm {

class NsmService {
  public:
    // At most as many bytes as the guest's buffer has; none when not even an error fits.
    using Completion = std::function<void(Bytes response)>;

    struct Counters {
        uint64_t requests = 0;
        uint64_t failures = 0;   // answered with an error
        uint64_t documents = 0;  // given
    };

    // The client is borrowed and outlives the service.
    explicit NsmService(AttestorClient& client) : client_(client) {}

    // Calls `completion` once: at once, or from the loop when the attestor has answered; not at all after the
    // service is gone.
    void handle(ByteView request, size_t capacity, Completion completion);

    const Counters& counters() const { return counters_; }

  private:
    // The answer to a request from the attestor's message of that type.
    using Encoder = std::function<Result<Bytes>(const api::Envelope&)>;
    struct Handler;  // one overload for each request

    void ask(uint32_t request, Bytes message, Encoder encode, Completion completion);
    void log_failure(const Error& error);

    AttestorClient& client_;
    Counters counters_;
    log::RateLimit log_limit_{5, std::chrono::minutes(1)};  // a guest asks as often as it likes
    uint32_t next_request_ = 1;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::nsm
