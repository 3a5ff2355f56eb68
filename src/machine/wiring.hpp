// SPDX-License-Identifier: Apache-2.0
//
// The bus contracts on top of KVM: an interrupt line is an irqfd, a doorbell an ioeventfd.
#pragma once

#include <memory>

#include "bus/doorbell.hpp"
#include "bus/interrupt_line.hpp"
#include "kvm/vm.hpp"
#include "support/event_fd.hpp"

namespace alcove::machine {

class IrqfdLine : public bus::InterruptLine {
  public:
    static Result<std::unique_ptr<IrqfdLine>> create(const kvm::Vm& vm, uint32_t gsi);
    void trigger() override { event_.signal(); }

  private:
    explicit IrqfdLine(EventFd event) : event_(std::move(event)) {}
    EventFd event_;
};

class IoeventfdDoorbells : public bus::DoorbellHost {
  public:
    explicit IoeventfdDoorbells(const kvm::Vm& vm) : vm_(vm) {}

    Result<void> attach(memory::GuestAddress address, uint32_t value, const EventFd& event) override;
    void detach(memory::GuestAddress address, uint32_t value, const EventFd& event) override;
    Result<void> attach_any(memory::GuestAddress address, const EventFd& event) override;
    void detach_any(memory::GuestAddress address, const EventFd& event) override;

  private:
    const kvm::Vm& vm_;
};

}  // namespace alcove::machine
