// SPDX-License-Identifier: Apache-2.0
//
// Between the two halves of alcove-egress, which are forks of one program: the proxy, which reads what the
// enclave says and has no network, asks; the dialer, which has a network and never sees the enclave's bytes,
// decides and connects. One datagram each (api/protocol.hpp's form).
#pragma once

#include "api/protocol.hpp"
#include "egress/connect_request.hpp"

namespace alcove::egress {

struct Dial {
    static constexpr uint16_t kType = 16;

    Le32 request;
    Le16 port;
    Le16 reserved;
    api::TextField<kMaxHost> host;
    uint8_t end = 0;
};
static_assert(sizeof(Dial) == 264);

// With a connected, non-blocking TCP socket when the status is Established.
struct Dialed {
    static constexpr uint16_t kType = 17;

    Le32 request;
    Le16 status;  // Status
    Le16 reserved;
};

}  // namespace alcove::egress
