// SPDX-License-Identifier: Apache-2.0
//
// An edge-triggered interrupt of one device. In a machine it is an irqfd; in tests a counter.
#pragma once

namespace alcove::bus {

class InterruptLine {
  public:
    virtual ~InterruptLine() = default;
    virtual void trigger() = 0;  // from any thread
};

// One that a driver can mask: what is triggered meanwhile is pending, and delivered once it is unmasked.
class MaskableLine : public InterruptLine {
  public:
    virtual void forget_pending() = 0;  // from any thread
};

}  // namespace alcove::bus
