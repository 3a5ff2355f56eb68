// SPDX-License-Identifier: Apache-2.0
//
// Register writes that only wake somebody. A doorbell makes KVM signal an eventfd instead of returning to
// us when a guest writes to a register (ioeventfd): either a given 32-bit value, where several doorbells
// share one register, or anything at all.
#pragma once

#include <cstdint>

#include "memory/guest_address.hpp"
#include "support/event_fd.hpp"
#include "support/result.hpp"

namespace alcove::bus {

class DoorbellHost {
  public:
    virtual ~DoorbellHost() = default;
    virtual Result<void> attach(memory::GuestAddress address, uint32_t value, const EventFd& event) = 0;
    virtual void detach(memory::GuestAddress address, uint32_t value, const EventFd& event) = 0;
    // A write of any width and value. No other doorbell is at the address.
    virtual Result<void> attach_any(memory::GuestAddress address, const EventFd& event) = 0;
    virtual void detach_any(memory::GuestAddress address, const EventFd& event) = 0;
};

}  // namespace alcove::bus
