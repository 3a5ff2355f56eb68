// SPDX-License-Identifier: Apache-2.0
//
// MSI-X (PCI 3.0, 6.8.2): the table in which a driver writes one message for each vector, the pending bits,
// and the way from a device's trigger() to the interrupt controllers.
//
//     trigger() ── vector open? ──yes──► line.trigger()            one eventfd write
//                      │ no                   ▲
//                      ▼                      │ once opened again
//                  pending bit ───────────────┘
//
// A vector is open when MSI-X is enabled, neither the function nor the vector is masked, and the function may
// write to memory (bus master), as a message is such a write. While MSI-X is disabled there is nothing to be
// pending for: INTx does not exist here, and trigger() does nothing.
//
// Routes are told to the hypervisor when a vector is opened with another message than before, and stay over a
// mask: masking, as Linux does around each change of affinity, costs nothing. One lock covers the table, held
// over the eventfd write too, so that when a write to a mask returns no message of that vector is under way.
// A message whose address is not the interrupt controllers' would be a write to some memory on hardware; here
// it goes nowhere.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "bus/bus_device.hpp"
#include "bus/message_interrupts.hpp"
#include "support/guarded.hpp"
#include "support/log.hpp"
#include "support/result.hpp"

namespace alcove::pci {

class MsixTable {
  public:
    // So that table and pending bits share a page: see kPendingOffset.
    static constexpr uint16_t kMaxVectors = 128;
    // Where the pending bits stand when table and bits share a BAR of kBarSize bytes.
    static constexpr uint32_t kPendingOffset = 0x800;
    static constexpr uint32_t kBarSize = 0x1000;

    static Result<std::unique_ptr<MsixTable>> create(bus::MessageInterrupts& interrupts, uint16_t vectors);

    uint16_t size() const { return size_; }
    uint32_t table_bytes() const;
    uint32_t pending_bytes() const;  // whole 64-bit words

    // The register blocks, each from its own start. Aligned accesses of 4 and 8 bytes write; others do not
    // (PCI 3.0, 6.8.2). The table reads in any width.
    bus::BusDevice& table() { return table_; }
    bus::BusDevice& pending() { return pending_; }

    struct Control {
        bool enable = false;
        bool function_mask = false;
        bool bus_master = false;
    };
    void set_control(const Control& control);

    // From any thread.
    void trigger(uint16_t vector);
    // The device has taken back what it triggered.
    void forget_pending(uint16_t vector);
    void reset();

    struct Counters {
        uint64_t delivered = 0;  // messages
        uint64_t held = 0;       // triggers that found their vector masked
        uint64_t routes = 0;     // told to the hypervisor
        uint64_t lost = 0;       // triggers of a vector without a usable message
    };
    Counters counters() const;

  private:
    struct Vector {
        bus::Message message;
        bool masked = true;
        bool pending = false;
        std::optional<bus::Message> tried;  // the last message that route() was asked for
        bool routed = false;                // and it succeeded
        std::unique_ptr<bus::MessageLine> line;
    };
    struct State {
        std::vector<Vector> vectors;
        Control control;
        Counters counters;
        log::RateLimit refusals{5, std::chrono::seconds(10)};
    };
    class Table : public bus::BusDevice {
      public:
        explicit Table(MsixTable& owner) : owner_(owner) {}
        void read(uint64_t offset, MutableByteView data) override { owner_.read_table(offset, data); }
        void write(uint64_t offset, ByteView data) override { owner_.write_table(offset, data); }

      private:
        MsixTable& owner_;
    };
    class Pending : public bus::BusDevice {
      public:
        explicit Pending(MsixTable& owner) : owner_(owner) {}
        void read(uint64_t offset, MutableByteView data) override { owner_.read_pending(offset, data); }
        void write(uint64_t, ByteView) override {}  // read-only

      private:
        MsixTable& owner_;
    };

    explicit MsixTable(std::vector<Vector> vectors);
    void read_table(uint64_t offset, MutableByteView data) const;
    void write_table(uint64_t offset, ByteView data);
    void read_pending(uint64_t offset, MutableByteView data) const;

    // Under the lock.
    static bool is_open(const State& state, const Vector& vector);
    static void settle(State& state, Vector& vector);
    static void deliver(State& state, Vector& vector);
    static void route(State& state, Vector& vector);

    const uint16_t size_;
    Guarded<State> state_;
    Table table_{*this};
    Pending pending_{*this};
};

}  // namespace alcove::pci
