// SPDX-License-Identifier: Apache-2.0
//
// Who stands at the other end of a guest's packets, for some context ids: the programs of this host
// (host_backend.hpp), or the other machines of a fabric (fabric_backend.hpp). The device checks a packet's
// form and its source, chooses the backend by destination, and offers backends the guest's receive ring in
// turn.
//
// All on the event loop's thread.
#pragma once

#include <functional>
#include <span>

#include "memory/guest_memory.hpp"
#include "support/result.hpp"
#include "vsock/rx_ring.hpp"
#include "vsock/spec.hpp"

namespace alcove::vsock {

class Backend {
  public:
    virtual ~Backend() = default;

    virtual bool serves(Cid cid) const = 0;
    // The same of one port of it: several may share a context id.
    virtual bool serves(Cid cid, Port) const { return serves(cid); }

    // The guest's driver is there, or gone: between the two nothing is received or sent, and what was
    // connected is not any more.
    virtual void activate() = 0;
    virtual void reset() = 0;

    // A packet of the guest's. The payload (header.len bytes) lies in guest memory that is the guest's
    // again on return. The packet has to be taken: a guest whose packets were left lying could stop
    // reading its own receive queue, and both sides would wait for ever.
    virtual void receive(const Header& header, std::span<const memory::GuestSlice> payload) = 0;

    virtual bool has_packets() const = 0;
    // Puts one turn's packets into the ring: few enough that others are not kept waiting. False when
    // buffers ran out. Errors: the driver broke the ring.
    virtual Result<bool> send(RxRing& ring) = 0;

    // Called when has_packets() may have become true outside of receive().
    void set_waker(std::function<void()> waker) { waker_ = std::move(waker); }

  protected:
    void wake() const {
        if (waker_) waker_();
    }

  private:
    std::function<void()> waker_;
};

}  // namespace alcove::vsock
