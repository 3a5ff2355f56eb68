// SPDX-License-Identifier: Apache-2.0
//
// The NE device as a block of registers: 4 KiB that a PCI function shows as BAR 3, and its two interrupts. It
// keeps the protocol of registers (nitro.md 1.2 to 1.5) and hands each command to a Backend.
//
//            ENABLE=1                    ENABLE=0, something was commanded
//      off ───────────► on (one command at a time) ───────────► releasing ───────────► off
//       ▲                │                                          │      released
//       └────────────────┘ ENABLE=0, nothing was commanded          │
//                                  ENABLE=1 before that is over: on, commands wait until it is over
//
// ENABLE reads as 1 while the backend releases: the driver polls it, so when it reads 0 the primary has all
// its memory and vCPUs again, and nothing of what was is still to come. That makes kexec and a reload of the
// driver safe. A reply of an earlier period, or one later than the driver waits, is dropped with its
// interrupt, and so are interrupts that wait behind a mask when their period ends.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "bus/bus_device.hpp"
#include "bus/interrupt_line.hpp"
#include "bus/state_unit.hpp"
#include "ne/backend.hpp"
#include "support/event_loop.hpp"
#include "support/guarded.hpp"

namespace alcove::ne {

// Registers are reached on vCPU threads, under one lock; everything else happens on the event loop's thread,
// the device's end included (no vCPU runs any more then).
class Device : public bus::BusDevice, public bus::StateUnit {
  public:
    using Clock = EventLoop::Clock;
    static constexpr uint64_t kWindowSize = 4_KiB;
    // A little less than the driver waits, so that no interrupt comes for a command that it has given up: it
    // would take that for the reply of the next.
    static constexpr std::chrono::milliseconds kReplyWithin{DEFAULT_TIMEOUT_MSECS - 2000};

    // All borrowed, and outlive the device.
    struct Wiring {
        EventLoop& loop;
        Backend& backend;
        bus::MaskableLine& reply_line;  // vector::REPLY
        bus::MaskableLine& event_line;  // vector::EVENT
    };
    struct Counters {
        uint64_t commands = 0;  // handed to the backend or refused
        uint64_t refused = 0;   // answered with an error
        uint64_t ignored = 0;   // written while another was in hand, or while off
        uint64_t dropped = 0;   // replies that came too late, or for an earlier period
        uint64_t events = 0;    // raised
    };

    explicit Device(const Wiring& wiring, std::function<Clock::time_point()> now = Clock::now);
    ~Device() override;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    void read(uint64_t offset, MutableByteView data) override;
    void write(uint64_t offset, ByteView data) override;

    // Some enclave changed its state by itself: raises vector::EVENT, unless the driver has not asked for
    // anything since it enabled the device (its handler is not ready then).
    void slot_changed();

    // As if ENABLE=0 were written; `done` is called when the primary has everything back: at once, or from
    // the loop. A machine waits for it before it resets the vCPUs.
    void release(std::function<void()> done);

    std::string_view name() const override { return "ne"; }
    // Power-on state. What is held is released, but not waited for: call release() first.
    void reset() override;

    Counters counters() const;

  private:
    using SendData = std::array<uint8_t, SEND_DATA_SIZE>;
    struct Written {
        uint32_t command;
        SendData data;
        Clock::time_point deadline;
    };
    struct InHand {
        uint64_t number;
        Clock::time_point deadline;
        bool wanted;  // the period in which it was written goes on
    };
    struct State {
        uint16_t version = 0;  // in use; 0 until the driver has named one
        bool enabled = false;  // as the driver wrote it
        bool releasing = false;
        bool release_asked = false;  // the backend knows of it
        bool used = false;           // a command was begun since the last release
        bool serving = false;        // serve() is on its way
        uint16_t replies = 0;
        uint16_t events = 0;
        SendData send{};
        std::array<uint8_t, RECV_DATA_SIZE> recv{};
        std::optional<Written> written;  // for the backend, as soon as it is free
        std::optional<InHand> in_hand;
        uint64_t next_number = 1;
        Counters counters;
    };

    void disable(State& state) const;
    void forget_interrupts() const;
    static bool wants_service(State& state);
    void write_enable(State& state, uint8_t value) const;
    void write_command(State& state, uint32_t command) const;
    void post_serve();
    void serve();
    void begin(uint64_t number, const Written& written);
    void on_reply(uint64_t number, const Reply& reply);
    void on_released();

    Wiring wiring_;
    std::function<Clock::time_point()> now_;
    Guarded<State> state_;
    std::vector<std::function<void()>> release_waiters_;  // loop only
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::ne
