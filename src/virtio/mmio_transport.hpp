// SPDX-License-Identifier: Apache-2.0
//
// virtio-mmio, version 2 (VIRTIO 1.2, 4.2): registers on one side, a VirtioDevice on the other. What is
// behind the registers, and on which thread, is in transport_core.hpp. Here they are laid out in a page that
// can be read without leaving the guest (register_page.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bus/bus_device.hpp"
#include "bus/doorbell.hpp"
#include "bus/interrupt_line.hpp"
#include "bus/state_unit.hpp"
#include "virtio/register_page.hpp"
#include "virtio/transport_core.hpp"

namespace alcove::virtio {

class MmioTransport : public bus::BusDevice, public bus::StateUnit, private TransportFace {
  public:
    struct Wiring {
        EventLoop* loop = nullptr;
        std::shared_ptr<memory::GuestMemory> memory;
        memory::GuestAddress base;  // of the window of mmio::kWindowSize bytes
        bus::InterruptLine* line = nullptr;
        bus::DoorbellHost* doorbells = nullptr;  // may be absent: every notification is then an exit
    };

    // Everything is borrowed and outlives the transport. Create and destroy it on the loop's thread, and
    // destroy it only when no vCPU can reach it any more.
    static Result<std::unique_ptr<MmioTransport>> create(const Wiring& wiring, VirtioDevice& device);
    ~MmioTransport() override;
    MmioTransport(const MmioTransport&) = delete;
    MmioTransport& operator=(const MmioTransport&) = delete;

    void read(uint64_t offset, MutableByteView data) override;
    void write(uint64_t offset, ByteView data) override;

    std::string_view name() const override { return core_->device().name(); }
    void reset() override { core_->reset(); }  // machine reset; on the loop's thread

    // Ends the device for good and releases every waiting vCPU. On the loop's thread; may be repeated.
    void stop() { core_->stop(); }

    // A page that can be mapped read-only at `base`: see register_page.hpp.
    uint64_t register_page_host_address() const { return page_.host_address(); }

    using Counters = TransportCore::Counters;
    Counters counters() const { return core_->counters(); }  // on the loop's thread

  private:
    MmioTransport(const Wiring& wiring, RegisterPage page);
    Result<void> attach_doorbells();

    void show(const TransportRegisters& registers) override;
    void show_config(ByteView config, uint32_t generation) override;
    void clear_interrupts() override;
    void raise_queues(QueueMask queues) override;
    bool share_interrupt(uint16_t /*one*/, uint16_t /*other*/) const override { return true; }
    void raise_config() override;
    void raise(uint32_t bits);

    const memory::GuestAddress base_;
    bus::InterruptLine& line_;
    bus::DoorbellHost* doorbells_;
    RegisterPage page_;
    std::unique_ptr<TransportCore> core_;
    std::optional<EventFd> acknowledge_sink_;
    struct Attached {
        memory::GuestAddress address;
        uint32_t value;
        const EventFd* event;
    };
    std::vector<Attached> attached_;
};

}  // namespace alcove::virtio
