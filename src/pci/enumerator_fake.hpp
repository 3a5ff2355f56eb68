// SPDX-License-Identifier: Apache-2.0
//
// What stands around a PCI bus, for tests and fuzzers: an operating system that enumerates (through the faces
// that vCPUs use), interrupt lines that remember, and doorbells that can be rung.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "bus/doorbell.hpp"
#include "bus/message_interrupts.hpp"
#include "pci/pci_bus.hpp"

namespace alcove::pci {

// Lines of a machine: what was delivered, in order.
class FakeInterrupts : public bus::MessageInterrupts {
  public:
    Result<std::unique_ptr<bus::MessageLine>> create_line() override;

    std::vector<bus::Message> take_delivered();
    size_t routes() const { return routes_; }  // calls of route()
    size_t lines() const { return lines_; }    // alive
    void refuse_routes(bool on) { refuses_ = on; }

  private:
    friend class FakeLine;
    std::mutex mutex_;  // of delivered_
    std::vector<bus::Message> delivered_;
    std::atomic<size_t> routes_ = 0;
    std::atomic<size_t> lines_ = 0;
    std::atomic<bool> refuses_ = false;
};

class FakeDoorbells : public bus::DoorbellHost {
  public:
    struct Attached {
        uint64_t address;
        std::optional<uint32_t> value;  // nothing: any write
        const EventFd* event;
        bool operator==(const Attached&) const = default;
    };

    Result<void> attach(memory::GuestAddress address, uint32_t value, const EventFd& event) override;
    void detach(memory::GuestAddress address, uint32_t value, const EventFd& event) override;
    Result<void> attach_any(memory::GuestAddress address, const EventFd& event) override;
    void detach_any(memory::GuestAddress address, const EventFd& event) override;

    const std::vector<Attached>& attached() const { return attached_; }
    // As the hypervisor on a guest's write: false when no doorbell is there.
    bool ring(uint64_t address) const;

  private:
    Result<void> add(const Attached& doorbell);
    void remove(const Attached& doorbell);
    std::vector<Attached> attached_;
};

// Windows as a small machine has them.
inline constexpr PciBus::Windows kFakeWindows{
    .mmio32 = {.base = memory::GuestAddress(0xc000'0000), .size = 16_MiB},
    .mmio64 = {.base = memory::GuestAddress(0x70'0000'0000), .size = 1_GiB}};

// An operating system's view of one function.
class FakeOs {
  public:
    explicit FakeOs(PciBus& bus, uint8_t slot) : bus_(bus), slot_(slot) {}

    uint64_t read_config(uint32_t offset, size_t width);
    void write_config(uint32_t offset, uint64_t value, size_t width);
    // The same through CONFIG_ADDRESS and CONFIG_DATA.
    uint64_t read_config_by_ports(uint32_t offset, size_t width);
    void write_config_by_ports(uint32_t offset, uint64_t value, size_t width);

    void set_command(uint16_t bits) { write_config(header::Command, bits, 2); }
    // As Linux sizes a BAR: writes ones, reads, puts back. 0 when there is none.
    uint64_t size_bar(uint8_t bar);
    uint64_t bar_address(uint8_t bar);
    void move_bar(uint8_t bar, uint64_t address);
    // The first capability with this id at or behind `from` in the list; 0 when there is none.
    uint8_t find_capability(uint8_t id, uint8_t behind = 0);

    // Memory accesses, wherever a window is.
    uint64_t read_memory(uint64_t address, size_t width);
    void write_memory(uint64_t address, uint64_t value, size_t width);

    // MSI-X: enables it and gives every vector the message {0xfee00000, first_data + vector}, unmasked.
    void enable_msix(uint32_t first_data = 0x40);
    void write_msix_entry(uint16_t vector, uint32_t field, uint32_t value);
    void set_msix_control(uint16_t bits);
    bool is_pending(uint16_t vector);

  private:
    uint64_t msix_part(uint8_t capability_field);

    PciBus& bus_;
    uint8_t slot_;
};

}  // namespace alcove::pci
