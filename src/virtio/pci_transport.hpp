// SPDX-License-Identifier: Apache-2.0
//
// virtio over PCI (VIRTIO 1.2, 4.1), modern only: a PCI function on one side, a VirtioDevice on the other.
// What is behind the registers, and on which thread, is in transport_core.hpp.
//
//     BAR 0   0x0000  common configuration      BAR 1   0x000  MSI-X table: one vector for each queue, or
//             0x1000  ISR status                               for all, and one for configuration changes
//             0x2000  device configuration              0x800  pending bits
//             0x3000  notifications, 4 bytes a queue
//
// Each structure has a page of its own, so that a machine may treat them apart. A notification is a doorbell
// at its queue's address, wherever the BAR is; without one it is an exit. Interrupts are MSI-X only: a driver
// that leaves MSI-X off sees the ISR status change and is not interrupted.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bus/message_interrupts.hpp"
#include "pci/function.hpp"
#include "virtio/transport_core.hpp"

namespace alcove::virtio {

class PciTransport : public pci::Function, private TransportFace {
  public:
    static constexpr uint8_t kRegisterBar = 0;
    static constexpr uint8_t kMsixBar = 1;
    static constexpr uint64_t kCommonOffset = 0x0000;
    static constexpr uint64_t kIsrOffset = 0x1000;
    static constexpr uint64_t kDeviceOffset = 0x2000;
    static constexpr uint64_t kNotifyOffset = 0x3000;
    static constexpr uint64_t kRegisterBarSize = 0x4000;
    static constexpr uint32_t kNotifyMultiplier = 4;

    struct Wiring {
        EventLoop* loop = nullptr;
        std::shared_ptr<memory::GuestMemory> memory;
        bus::MessageInterrupts* interrupts = nullptr;
    };

    // Everything is borrowed and outlives the transport. Create and destroy it on the loop's thread, and
    // destroy it only when it is on no bus and no vCPU can reach it any more.
    static Result<std::unique_ptr<PciTransport>> create(const Wiring& wiring, VirtioDevice& device);

    std::string_view name() const override { return device_.name(); }
    // The window of the PCI_CFG capability leads to the registers; otherwise as every function.
    void read_config(uint32_t offset, MutableByteView data) override;
    void write_config(uint32_t offset, ByteView data) override;

    // Ends the device for good and releases every waiting vCPU. On the loop's thread; may be repeated.
    void stop() { core_->stop(); }

    using Counters = TransportCore::Counters;
    Counters counters() const { return core_->counters(); }  // on the loop's thread

  protected:
    void read_register(uint8_t bar, uint64_t offset, MutableByteView data) override;
    void write_register(uint8_t bar, uint64_t offset, ByteView data) override;
    void reset_device() override { core_->reset(); }

  private:
    // What reads give. Written by vCPUs and the loop, read by vCPUs. Its lock is taken last.
    struct Shown {
        virtio_pci::CommonConfig common;
        std::vector<uint16_t> queue_vectors;
        Bytes config;
    };

    PciTransport(VirtioDevice& device, std::unique_ptr<pci::MsixTable> msix);
    void add_capabilities(uint32_t queues, uint32_t config_size);
    void write_common(uint64_t offset, ByteView data);
    void write_queue_vector(uint16_t vector);
    uint16_t usable_vector(uint64_t vector);

    // Where the window of the PCI_CFG capability leads now, or nothing if nowhere.
    struct Target {
        uint64_t offset;
        uint32_t length;
    };
    std::optional<Target> window_target();
    bool touches_window(uint32_t offset, size_t length) const;

    void show(const TransportRegisters& registers) override;
    void show_config(ByteView config, uint32_t generation) override;
    void clear_interrupts() override;
    void raise_queues(QueueMask queues) override;
    bool share_interrupt(uint16_t one, uint16_t other) const override;
    void raise_config() override;

    VirtioDevice& device_;
    Guarded<Shown> shown_;
    // Bits are set by the loop and taken by a vCPU that reads them; nothing else hangs on their order.
    std::atomic<uint8_t> isr_ = 0;
    uint32_t window_capability_ = 0;
    std::unique_ptr<TransportCore> core_;
};

}  // namespace alcove::virtio
