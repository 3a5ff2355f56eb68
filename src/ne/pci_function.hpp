// SPDX-License-Identifier: Apache-2.0
//
// The NE device as the PCI function that the driver looks for: identity, registers in BAR 3, and the two
// interrupts as MSI-X vectors. It stands at 00:02.0, where AWS's does; nothing but the slot says so.
//
// The MSI-X table has BAR 4 to itself: the driver maps BAR 3 whole, and BAR 2 must not be the low half of a
// 64-bit BAR, so what is left free is left free.
#pragma once

#include <memory>

#include "bus/message_interrupts.hpp"
#include "ne/device.hpp"
#include "pci/function.hpp"

namespace alcove::ne {

inline constexpr uint8_t kPciSlot = 2;

class PciFunction : public pci::Function {
  public:
    static constexpr uint8_t kMsixBar = 4;

    // All borrowed, and outlive the function.
    struct Wiring {
        EventLoop& loop;
        Backend& backend;
        bus::MessageInterrupts& interrupts;
    };

    // Fails when there are no interrupt lines left.
    static Result<std::unique_ptr<PciFunction>> create(const Wiring& wiring);

    Device& device() { return device_; }

    std::string_view name() const override { return device_.name(); }

  protected:
    void read_register(uint8_t bar, uint64_t offset, MutableByteView data) override;
    void write_register(uint8_t bar, uint64_t offset, ByteView data) override;
    // As Device::reset(): what the primary's slots hold is released and not waited for.
    void reset_device() override { device_.reset(); }

  private:
    PciFunction(const Wiring& wiring, std::unique_ptr<pci::MsixTable> table);

    class Vector : public bus::MaskableLine {
      public:
        Vector(PciFunction& owner, uint16_t vector) : owner_(owner), vector_(vector) {}
        void trigger() override { owner_.msix().trigger(vector_); }
        void forget_pending() override { owner_.msix().forget_pending(vector_); }

      private:
        PciFunction& owner_;
        const uint16_t vector_;
    };

    Vector reply_{*this, vector::REPLY};
    Vector event_{*this, vector::EVENT};
    Device device_;
};

}  // namespace alcove::ne
