// SPDX-License-Identifier: Apache-2.0
//
// The device's requests and replies to and from the messages that carry them to alcoved
// (api/ne_messages.hpp).
#pragma once

#include "api/ne_messages.hpp"
#include "ne/request.hpp"
#include "support/result.hpp"

namespace alcove::ne {

// `id` is the message's request number.
Bytes encode_request(uint32_t id, const Request& request);
struct NumberedRequest {
    uint32_t id;
    Request request;
};
Result<NumberedRequest> decode_request(const api::Envelope& envelope);

Bytes encode_reply(uint32_t id, const Reply& reply);
struct NumberedReply {
    uint32_t id;
    Reply reply;
};
// ErrorCode::InvalidMessage also for an rc that is no errno (is_valid_rc) and for a state that is none.
Result<NumberedReply> decode_reply(const api::Envelope& envelope);

}  // namespace alcove::ne
