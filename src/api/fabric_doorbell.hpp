// SPDX-License-Identifier: Apache-2.0
//
// How the two ends of a pair wake each other (api/fabric_ring.hpp): a byte on a socket. Not an eventfd, which
// would be cheaper: both ends would share its flags, so that one that was taken over could make the other's
// writes block. A socket also tells when the other end is gone.
#pragma once

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::api {

class FabricDoorbell {
  public:
    explicit FabricDoorbell(Fd socket) : socket_(std::move(socket)) {}

    // Never blocks. What does not fit is not needed: the other end has not looked at the bytes before it. Nor
    // is it an error that nobody is there: silence() will tell.
    void ring() const;
    // Takes what has been rung, some of it when it is very much. False when the other end is gone.
    [[nodiscard]] bool silence() const;

    // Readable when it was rung, or when the other end is gone.
    const Fd& fd() const { return socket_; }

  private:
    Fd socket_;
};

}  // namespace alcove::api
