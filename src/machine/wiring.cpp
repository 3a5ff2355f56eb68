// SPDX-License-Identifier: Apache-2.0
#include "machine/wiring.hpp"

namespace alcove::machine {

Result<std::unique_ptr<IrqfdLine>> IrqfdLine::create(const kvm::Vm& vm, uint32_t gsi) {
    auto event = TRY(EventFd::create());
    TRY(vm.attach_irqfd(event, gsi));
    return std::unique_ptr<IrqfdLine>(new IrqfdLine(std::move(event)));
}

Result<void> IoeventfdDoorbells::attach(memory::GuestAddress address, uint32_t value, const EventFd& event) {
    return vm_.attach_ioeventfd(event, address.value(), value);
}

void IoeventfdDoorbells::detach(memory::GuestAddress address, uint32_t value, const EventFd& event) {
    const auto detached = vm_.detach_ioeventfd(event, address.value(), value);
    ALCOVE_CHECK(detached.has_value(), "only what was attached is detached");
}

Result<void> IoeventfdDoorbells::attach_any(memory::GuestAddress address, const EventFd& event) {
    return vm_.attach_any_ioeventfd(event, address.value());
}

void IoeventfdDoorbells::detach_any(memory::GuestAddress address, const EventFd& event) {
    const auto detached = vm_.detach_any_ioeventfd(event, address.value());
    ALCOVE_CHECK(detached.has_value(), "only what was attached is detached");
}

}  // namespace alcove::machine
