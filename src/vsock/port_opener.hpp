// SPDX-License-Identifier: Apache-2.0
//
// Where a guest's connection to a port of the host leads. The VMM has no rights to connect anywhere itself:
// it asks, and gets a connected stream socket or a refusal.
#pragma once

#include <functional>

#include "support/fd.hpp"
#include "support/result.hpp"
#include "vsock/spec.hpp"

namespace alcove::vsock {

class PortOpener {
  public:
    virtual ~PortOpener() = default;

    using Done = std::function<void(Result<Fd>)>;
    // Calls `done` exactly once, on the event loop's thread, at once or later. The descriptor is a connected
    // stream socket. ErrorCode::NotFound means that nobody listens there; every error refuses the guest.
    // An opener that is destroyed need not call any more.
    virtual void open(Port port, Done done) = 0;
};

}  // namespace alcove::vsock
