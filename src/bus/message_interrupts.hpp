// SPDX-License-Identifier: Apache-2.0
//
// Message-signalled interrupts: a device raises one by writing a value the driver chose to an address the
// driver chose, and the interrupt controllers listen at that address. In a machine each line is an irqfd
// whose route the hypervisor keeps, so that raising is one write to an eventfd; in tests lines remember.
#pragma once

#include <cstdint>
#include <memory>

#include "bus/interrupt_line.hpp"
#include "support/result.hpp"

namespace alcove::bus {

struct Message {
    uint64_t address = 0;
    uint32_t data = 0;
    bool operator==(const Message&) const = default;
};

// trigger() delivers the message of the last route(), and nothing while there is none. route() and unroute()
// are called by one thread at a time, trigger() by any; giving up the object gives the line back.
class MessageLine : public InterruptLine {
  public:
    // Costs a system call. On failure the line has no route.
    virtual Result<void> route(const Message& message) = 0;
    virtual void unroute() = 0;
};

class MessageInterrupts {
  public:
    virtual ~MessageInterrupts() = default;
    // The lines go before this object does.
    virtual Result<std::unique_ptr<MessageLine>> create_line() = 0;
};

}  // namespace alcove::bus
