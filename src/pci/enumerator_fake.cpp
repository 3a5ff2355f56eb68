// SPDX-License-Identifier: Apache-2.0
#include "pci/enumerator_fake.hpp"

#include <algorithm>
#include <array>

#include "support/check.hpp"
#include "support/endian.hpp"

namespace alcove::pci {

class FakeLine : public bus::MessageLine {
  public:
    explicit FakeLine(FakeInterrupts& owner) : owner_(owner) { ++owner_.lines_; }
    ~FakeLine() override { --owner_.lines_; }

    Result<void> route(const bus::Message& message) override {
        ++owner_.routes_;
        const std::lock_guard lock(owner_.mutex_);
        message_.reset();
        if (owner_.refuses_) return fail(ErrorCode::KvmRefused, "no route");
        message_ = message;
        return {};
    }
    void unroute() override {
        const std::lock_guard lock(owner_.mutex_);
        message_.reset();
    }
    void trigger() override {
        const std::lock_guard lock(owner_.mutex_);
        if (message_) owner_.delivered_.push_back(*message_);
    }

  private:
    FakeInterrupts& owner_;
    std::optional<bus::Message> message_;  // under the owner's lock
};

Result<std::unique_ptr<bus::MessageLine>> FakeInterrupts::create_line() {
    return std::unique_ptr<bus::MessageLine>(std::make_unique<FakeLine>(*this));
}

std::vector<bus::Message> FakeInterrupts::take_delivered() {
    const std::lock_guard lock(mutex_);
    return std::exchange(delivered_, {});
}

Result<void> FakeDoorbells::add(const Attached& doorbell) {
    const auto collides = [&](const Attached& other) {
        return other.address == doorbell.address &&
               (!other.value || !doorbell.value || other.value == doorbell.value);
    };
    if (std::ranges::any_of(attached_, collides)) return fail(ErrorCode::KvmRefused, "taken");
    attached_.push_back(doorbell);
    return {};
}

void FakeDoorbells::remove(const Attached& doorbell) {
    ALCOVE_CHECK(std::erase(attached_, doorbell) == 1, "only what was attached is detached");
}

Result<void> FakeDoorbells::attach(memory::GuestAddress address, uint32_t value, const EventFd& event) {
    return add({address.value(), value, &event});
}

void FakeDoorbells::detach(memory::GuestAddress address, uint32_t value, const EventFd& event) {
    remove({address.value(), value, &event});
}

Result<void> FakeDoorbells::attach_any(memory::GuestAddress address, const EventFd& event) {
    return add({address.value(), std::nullopt, &event});
}

void FakeDoorbells::detach_any(memory::GuestAddress address, const EventFd& event) {
    remove({address.value(), std::nullopt, &event});
}

bool FakeDoorbells::ring(uint64_t address) const {
    const auto found =
        std::ranges::find_if(attached_, [&](const Attached& a) { return a.address == address; });
    if (found == attached_.end()) return false;
    found->event->signal();
    return true;
}

namespace {

struct Value {
    explicit Value(uint64_t number = 0) : bytes(std::bit_cast<std::array<uint8_t, 8>>(Le64(number))) {}
    uint64_t number() const { return std::bit_cast<Le64>(bytes); }
    MutableByteView first(size_t width) { return MutableByteView(bytes).first(width); }
    std::array<uint8_t, 8> bytes;
};

uint64_t ecam_offset(uint8_t slot, uint32_t offset) {
    return ecam::Device::put(offset, slot);
}

uint32_t port_address(uint8_t slot, uint32_t offset) {
    const uint32_t address = config_ports::Device::put(offset & 0xfc, slot);
    return config_ports::Enable::put(address, 1);
}

}  // namespace

uint64_t FakeOs::read_config(uint32_t offset, size_t width) {
    Value value;
    bus_.ecam().read(ecam_offset(slot_, offset), value.first(width));
    return value.number();
}

void FakeOs::write_config(uint32_t offset, uint64_t number, size_t width) {
    Value value(number);
    bus_.ecam().write(ecam_offset(slot_, offset), value.first(width));
}

uint64_t FakeOs::read_config_by_ports(uint32_t offset, size_t width) {
    Value address(port_address(slot_, offset));
    bus_.ports().write(0, address.first(4));
    Value value;
    bus_.ports().read(config_ports::kData + offset % 4, value.first(width));
    return value.number();
}

void FakeOs::write_config_by_ports(uint32_t offset, uint64_t number, size_t width) {
    Value address(port_address(slot_, offset));
    bus_.ports().write(0, address.first(4));
    Value value(number);
    bus_.ports().write(config_ports::kData + offset % 4, value.first(width));
}

uint64_t FakeOs::size_bar(uint8_t bar) {
    const uint32_t reg = header::BaseAddress + 4U * bar;
    const auto command_bits = static_cast<uint16_t>(read_config(header::Command, 2));
    set_command(static_cast<uint16_t>(command_bits & ~command::MEMORY_SPACE));
    const uint64_t low = read_config(reg, 4);
    const bool is_64 = (low & base_address::TYPE_64) != 0;
    const uint64_t high = is_64 ? read_config(reg + 4, 4) : 0;
    write_config(reg, 0xffffffff, 4);
    uint64_t mask = read_config(reg, 4) & ~uint64_t{base_address::kFlagBits};
    write_config(reg, low, 4);
    if (is_64) {
        write_config(reg + 4, 0xffffffff, 4);
        mask |= read_config(reg + 4, 4) << 32;
        write_config(reg + 4, high, 4);
    } else if (mask != 0) {
        mask |= ~uint64_t{0xffffffff};
    }
    set_command(command_bits);
    return ~mask + 1;
}

uint64_t FakeOs::bar_address(uint8_t bar) {
    const uint32_t reg = header::BaseAddress + 4U * bar;
    const uint64_t low = read_config(reg, 4);
    const uint64_t high = (low & base_address::TYPE_64) != 0 ? read_config(reg + 4, 4) : 0;
    return (low & ~uint64_t{base_address::kFlagBits}) | high << 32;
}

void FakeOs::move_bar(uint8_t bar, uint64_t address) {
    const uint32_t reg = header::BaseAddress + 4U * bar;
    const bool is_64 = (read_config(reg, 4) & base_address::TYPE_64) != 0;
    write_config(reg, address & 0xffffffff, 4);
    if (is_64) write_config(reg + 4, address >> 32, 4);
}

uint8_t FakeOs::find_capability(uint8_t id, uint8_t behind) {
    if ((read_config(header::Status, 2) & status::CAPABILITIES_LIST) == 0) return 0;
    auto at = static_cast<uint8_t>(read_config(behind == 0 ? header::CapabilitiesPointer : behind + 1U, 1));
    for (int hops = 0; at != 0 && hops < 64; ++hops) {
        if (read_config(at, 1) == id) return at;
        at = static_cast<uint8_t>(read_config(at + 1U, 1));
    }
    return 0;
}

uint64_t FakeOs::read_memory(uint64_t address, size_t width) {
    Value value(~uint64_t{0});
    for (auto* window : {&bus_.mmio32(), &bus_.mmio64()})
        if (window->range().contains(memory::GuestAddress(address)))
            window->read(address - window->range().base.value(), value.first(width));
    return width == 8 ? value.number() : value.number() & ((uint64_t{1} << (8 * width)) - 1);
}

void FakeOs::write_memory(uint64_t address, uint64_t number, size_t width) {
    Value value(number);
    for (auto* window : {&bus_.mmio32(), &bus_.mmio64()})
        if (window->range().contains(memory::GuestAddress(address)))
            window->write(address - window->range().base.value(), value.first(width));
}

uint64_t FakeOs::msix_part(uint8_t capability_field) {
    const uint8_t capability = find_capability(capability_id::MsiX);
    ALCOVE_CHECK(capability != 0, "the function has MSI-X");
    const uint64_t word = read_config(uint32_t{capability} + capability_field, 4);
    return bar_address(static_cast<uint8_t>(word & 7)) + (word & ~uint64_t{7});
}

void FakeOs::write_msix_entry(uint16_t vector, uint32_t field, uint32_t value) {
    write_memory(msix_part(4) + uint64_t{msix::kEntrySize} * vector + field, value, 4);
}

void FakeOs::set_msix_control(uint16_t bits) {
    write_config(uint32_t{find_capability(capability_id::MsiX)} + msix::MessageControl, bits, 2);
}

bool FakeOs::is_pending(uint16_t vector) {
    const uint64_t word = read_memory(msix_part(8) + vector / 64U * 8U, 8);
    return ((word >> (vector % 64U)) & 1) != 0;
}

void FakeOs::enable_msix(uint32_t first_data) {
    set_command(
        static_cast<uint16_t>(read_config(header::Command, 2) | command::MEMORY_SPACE | command::BUS_MASTER));
    const uint32_t control = uint32_t{find_capability(capability_id::MsiX)} + msix::MessageControl;
    const auto vectors = static_cast<uint16_t>((read_config(control, 2) & 0x7ff) + 1);
    set_msix_control(msix::ENABLE | msix::FUNCTION_MASK);
    for (uint16_t vector = 0; vector < vectors; ++vector) {
        write_msix_entry(vector, msix::MessageAddress, 0xfee0'0000);
        write_msix_entry(vector, msix::MessageUpperAddress, 0);
        write_msix_entry(vector, msix::MessageData, first_data + vector);
        write_msix_entry(vector, msix::VectorControl, 0);
    }
    set_msix_control(msix::ENABLE);
}

}  // namespace alcove::pci
