// SPDX-License-Identifier: Apache-2.0
#include "pci/pci_bus.hpp"

#include <algorithm>

#include "pci/spec.hpp"
#include "support/bits.hpp"
#include "support/check.hpp"
#include "support/checked.hpp"
#include "support/endian.hpp"

namespace alcove::pci {

// Linux wants a host bridge to believe in CONFIG_ADDRESS, and nothing more of it. The id is that of a bridge
// without registers of its own (1b36:0008, "PCIe host bridge" of QEMU's list of ids).
class PciBus::HostBridge : public Function {
  public:
    HostBridge()
        : Function({.vendor_id = 0x1b36, .device_id = 0x0008, .class_code = class_code::HostBridge}) {}
    std::string_view name() const override { return "pci-host-bridge"; }

  protected:
    void read_register(uint8_t, uint64_t, MutableByteView) override {}
    void write_register(uint8_t, uint64_t, ByteView) override {}
    void reset_device() override {}
};

PciBus::PciBus(const Windows& windows, bus::DoorbellHost* doorbells)
    : map_({windows.mmio32, windows.mmio64}),
      doorbells_(doorbells),
      host_bridge_(std::make_unique<HostBridge>()),
      next32_(windows.mmio32.base.value()),
      next64_(windows.mmio64.base.value()),
      mmio32_(map_, windows.mmio32),
      mmio64_(map_, windows.mmio64) {
    ALCOVE_CHECK(windows.mmio32.end() <= 4_GiB, "32-bit BARs reach no further");
    slots_[0] = host_bridge_.get();
    host_bridge_->attach(map_, doorbells_);
}

PciBus::~PciBus() {
    for (auto* function : slots_)
        if (function != nullptr) function->detach();
}

uint64_t PciBus::allocate(BarKind kind, uint64_t size) {
    const bool is_32 = kind == BarKind::Memory32;
    const auto& window = (is_32 ? mmio32_ : mmio64_).range();
    auto& next = is_32 ? next32_ : next64_;
    // A page at least, so that a page of one BAR can be mapped without another's registers.
    const uint64_t address = align_up(next, std::max<uint64_t>(size, 4_KiB));
    ALCOVE_CHECK(address >= next && range_within(address - window.base.value(), size, window.size),
                 "the BARs of a machine fit into their window");
    next = address + size;
    return address;
}

void PciBus::add(uint8_t slot, Function& function) {
    ALCOVE_CHECK(slot > 0 && slot < kSlotCount && slots_[slot] == nullptr, "a function has its own slot");
    for (uint8_t bar = 0; bar < kBarCount; ++bar)
        if (const uint64_t size = function.bar_size(bar); size != 0)
            function.place_bar(bar, allocate(function.bar_kind(bar), size));
    slots_[slot] = &function;
    function.attach(map_, doorbells_);
}

Function* PciBus::function_at(uint64_t bus, uint64_t device, uint64_t function) const {
    if (bus != 0 || device >= kSlotCount || function != 0) return nullptr;
    return slots_[device];
}

void PciBus::reset() {
    ports_.reset();
    for (auto* function : slots_)
        if (function != nullptr) function->reset();
}

void PciBus::Ecam::read(uint64_t offset, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0xff});
    auto* function =
        owner_.function_at(ecam::Bus::get(offset), ecam::Device::get(offset), ecam::Function::get(offset));
    if (function != nullptr) function->read_config(static_cast<uint32_t>(ecam::Register::get(offset)), data);
}

void PciBus::Ecam::write(uint64_t offset, ByteView data) {
    auto* function =
        owner_.function_at(ecam::Bus::get(offset), ecam::Device::get(offset), ecam::Function::get(offset));
    if (function != nullptr) function->write_config(static_cast<uint32_t>(ecam::Register::get(offset)), data);
}

namespace {

// The register that an access to CONFIG_DATA means, or nothing. The extended register numbers that some
// processors put into reserved bits are not for functions of 256 bytes.
std::optional<uint32_t> register_at(uint32_t address, uint64_t port_offset, size_t width) {
    using namespace config_ports;
    if (Enable::get(address) == 0 || Reserved::get(address) != 0) return std::nullopt;
    if (port_offset < kData || port_offset - kData + width > 4) return std::nullopt;
    return Register::get(address) * 4 + static_cast<uint32_t>(port_offset - kData);
}

}  // namespace

void PciBus::Ports::read(uint64_t offset, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0xff});
    const uint32_t address = address_.load(std::memory_order_relaxed);
    if (offset == 0 && data.size() == 4) {
        const Le32 value = address;
        std::ranges::copy(object_bytes(value), data.begin());
        return;
    }
    const auto reg = register_at(address, offset, data.size());
    auto* function = owner_.function_at(config_ports::Bus::get(address), config_ports::Device::get(address),
                                        config_ports::Function::get(address));
    if (reg && function != nullptr) function->read_config(*reg, data);
}

void PciBus::Ports::write(uint64_t offset, ByteView data) {
    // Only 32 bits at once reach CONFIG_ADDRESS; narrower ones are for whatever else stands at these ports.
    if (offset == 0 && data.size() == 4) {
        address_.store(*read_object<Le32>(data) & ~3U, std::memory_order_relaxed);
        return;
    }
    const uint32_t address = address_.load(std::memory_order_relaxed);
    const auto reg = register_at(address, offset, data.size());
    auto* function = owner_.function_at(config_ports::Bus::get(address), config_ports::Device::get(address),
                                        config_ports::Function::get(address));
    if (reg && function != nullptr) function->write_config(*reg, data);
}

}  // namespace alcove::pci
