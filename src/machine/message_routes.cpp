// SPDX-License-Identifier: Apache-2.0
#include "machine/message_routes.hpp"

#include <vector>

#include "support/log.hpp"

namespace alcove::machine {

namespace {

constexpr uint32_t kIoApicPins = 24;
constexpr uint32_t kPicPins = 8;  // of each of the two
constexpr uint32_t kMaxLines = 512;

kvm_irq_routing_entry pin(uint32_t gsi, uint32_t chip, uint32_t number) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = number;
    return entry;
}

kvm_irq_routing_entry msi(uint32_t gsi, const bus::Message& message) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(message.address);
    entry.u.msi.address_hi = static_cast<uint32_t>(message.address >> 32);
    entry.u.msi.data = message.data;
    return entry;
}

}  // namespace

class RoutedLine : public bus::MessageLine {
  public:
    RoutedLine(MessageRoutes& routes, uint32_t gsi, EventFd event)
        : routes_(routes), gsi_(gsi), event_(std::move(event)) {}
    ~RoutedLine() override {
        const auto detached = routes_.vm_.detach_irqfd(event_, gsi_);
        ALCOVE_CHECK(detached.has_value(), "only what was attached is detached");
        routes_.release(gsi_);
    }
    RoutedLine(const RoutedLine&) = delete;
    RoutedLine& operator=(const RoutedLine&) = delete;

    Result<void> route(const bus::Message& message) override { return routes_.route(gsi_, message); }
    void unroute() override { routes_.unroute(gsi_); }
    void trigger() override { event_.signal(); }

  private:
    MessageRoutes& routes_;
    const uint32_t gsi_;
    const EventFd event_;
};

Result<std::unique_ptr<MessageRoutes>> MessageRoutes::create(const kvm::Vm& vm) {
    std::unique_ptr<MessageRoutes> routes(new MessageRoutes(vm));
    for (uint32_t i = 0; i < kMaxLines; ++i)
        routes->free_.insert(kIoApicPins + i);
    return routes;
}

Result<std::unique_ptr<bus::MessageLine>> MessageRoutes::create_line() {
    auto event = TRY(EventFd::create());
    uint32_t gsi = 0;
    {
        const std::lock_guard lock(mutex_);
        if (free_.empty()) return fail(ErrorCode::MachineConfig, "the machine has no interrupt line left");
        gsi = *free_.begin();
        free_.erase(free_.begin());
    }
    const auto attached = vm_.attach_irqfd(event, gsi);
    if (!attached) {
        release(gsi);
        return Failure{attached.error()};
    }
    return std::unique_ptr<bus::MessageLine>(std::make_unique<RoutedLine>(*this, gsi, std::move(event)));
}

Result<void> MessageRoutes::install() {
    std::vector<kvm_irq_routing_entry> entries;
    for (uint32_t gsi = 0; gsi < kIoApicPins; ++gsi) {
        if (gsi < kPicPins)
            entries.push_back(pin(gsi, KVM_IRQCHIP_PIC_MASTER, gsi));
        else if (gsi < 2 * kPicPins)
            entries.push_back(pin(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - kPicPins));
        entries.push_back(pin(gsi, KVM_IRQCHIP_IOAPIC, gsi));
    }
    for (const auto& [gsi, message] : routes_)
        entries.push_back(msi(gsi, message));
    return vm_.set_gsi_routing(entries);
}

Result<void> MessageRoutes::route(uint32_t gsi, const bus::Message& message) {
    const std::lock_guard lock(mutex_);
    const auto known = routes_.find(gsi);
    if (known != routes_.end() && known->second == message) return {};
    routes_[gsi] = message;
    auto installed = install();
    // Without its route the old message would still be delivered.
    if (!installed) {
        routes_.erase(gsi);
        static_cast<void>(install().has_value());
    }
    return installed;
}

void MessageRoutes::unroute(uint32_t gsi) {
    const std::lock_guard lock(mutex_);
    if (routes_.erase(gsi) == 0) return;
    const auto installed = install();
    if (!installed) log::warn("an interrupt route stays: {}", installed.error().to_string());
}

void MessageRoutes::release(uint32_t gsi) {
    unroute(gsi);
    const std::lock_guard lock(mutex_);
    free_.insert(gsi);
}

}  // namespace alcove::machine
