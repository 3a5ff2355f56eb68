// SPDX-License-Identifier: Apache-2.0
//
// Cuts ranges of RAM out of a running machine's sight and lets them back in. What becomes of the pages in
// between is not its business: whoever asked has them moved away, and fresh ones put in their place.
//
//     withdraw():   vCPUs parked, slots gone ─► fenced off ─► done
//                                                   │ fails
//     readmit():    done ◄─ slots back ◄─ unfenced ◄┴─ pages there ◄┐
//                                                           └───────┘ not yet
//
// The vCPUs stand still only while slots change. One operation at a time; others wait in order.
//
// Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "machine/carvable.hpp"
#include "support/event_loop.hpp"

namespace alcove::machine {

class Carver {
  public:
    using Done = std::function<void(Result<void>)>;  // on the loop's thread, once, never from within the call

    struct Counters {
        uint64_t bytes_withdrawn = 0;                // completed
        uint64_t bytes_readmitted = 0;               // completed
        uint64_t pauses = 0;                         // how often the vCPUs were parked
        EventLoop::Clock::duration longest_pause{};  // from asking them to stop until they may go on
    };

    // Both borrowed and outlive this: the machine until machine_ended().
    Carver(Carvable& machine, EventLoop& loop);
    ~Carver();
    Carver(const Carver&) = delete;
    Carver& operator=(const Carver&) = delete;

    // The range is whole pages of one region and in sight. Afterwards neither the guest nor a device of its
    // nor this process reaches it: a guest reads ones there, and what it writes is lost. After an error it is
    // in sight as before; where that could not be had, the machine was ended.
    void withdraw(memory::GuestRange range, Done done);

    // Ranges that were withdrawn, as they were, all in one pause. Pages that nobody has put back behind them
    // are reserved first, and waited for while the host has none. After an error the machine was ended.
    void readmit(std::vector<memory::GuestRange> ranges, Done done);

    // The machine has ended, or is about to be destroyed. What is being withdrawn fails, and so does all that
    // is asked for later (ErrorCode::Cancelled); there is nothing any more that ranges could be readmitted
    // to, so that is done at once.
    void machine_ended();

    bool is_idle() const { return operations_.empty(); }
    const Counters& counters() const { return counters_; }

  private:
    struct Operation;
    using Step = void (Carver::*)();

    void enqueue(std::unique_ptr<Operation> operation);
    void later(Step step);
    void wait_for_pages();
    void parked(std::function<Result<void>()> work, Step then);
    void lose_machine(Error error);

    // Steps, in the order of the picture.
    void begin();
    void remove_slots();
    void fence();
    void reserve();
    void unfence();
    void restore_slots();
    void abandon();
    void finish();

    Carvable& machine_;
    EventLoop& loop_;
    bool machine_ended_ = false;
    Step after_park_ = nullptr;                          // set while the vCPUs were asked to park
    EventLoop::TimerId page_timer_ = 0;                  // set while pages are waited for
    std::deque<std::unique_ptr<Operation>> operations_;  // the first is under way
    Counters counters_;
    std::shared_ptr<Carver*> self_ = std::make_shared<Carver*>(this);  // what is posted holds it weakly
};

}  // namespace alcove::machine
