// SPDX-License-Identifier: Apache-2.0
//
// Message-signalled interrupts of a machine: each line is an irqfd at an interrupt number of its own, and
// KVM's routing table says which message that number stands for.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "bus/message_interrupts.hpp"
#include "kvm/vm.hpp"

namespace alcove::machine {

class MessageRoutes : public bus::MessageInterrupts {
  public:
    // The table starts as KVM's own: PIC and IOAPIC at 0 to 15, IOAPIC at 16 to 23.
    static Result<std::unique_ptr<MessageRoutes>> create(const kvm::Vm& vm);
    Result<std::unique_ptr<bus::MessageLine>> create_line() override;

  private:
    friend class RoutedLine;
    explicit MessageRoutes(const kvm::Vm& vm) : vm_(vm) {}
    Result<void> install();  // under the lock
    Result<void> route(uint32_t gsi, const bus::Message& message);
    void unroute(uint32_t gsi);
    void release(uint32_t gsi);

    const kvm::Vm& vm_;
    std::mutex mutex_;  // functions route from the vCPU threads that write their tables
    std::map<uint32_t, bus::Message> routes_;
    std::set<uint32_t> free_;
};

}  // namespace alcove::machine
