// SPDX-License-Identifier: Apache-2.0
//
// What stands behind the NE device in its VMM: commands go to alcoved, which knows who owns what, and the
// ranges they carve are taken out of this machine's sight before alcoved is asked to move them, and let in
// again when the pages are the primary's again.
//
//     SLOT_ADD_MEM ──► rules ──► withdrawn ──► alcoved ──► refused: readmitted ──► reply
//                        └─ refused: reply        └─ done: reply
//     SLOT_FREE ─────► alcoved ──► done: all ranges of the slot readmitted ──► reply
//     release_all() ─► what is under way here ends ──► alcoved ──► all ranges readmitted ──► released
//
// After the machine's end there is nothing to withdraw from or to readmit to; a release then only waits for
// alcoved. Loop thread only.
#pragma once

#include <functional>
#include <vector>

#include "machine/carver.hpp"
#include "ne/backend.hpp"
#include "ne/carved_map.hpp"
#include "ne/parent.hpp"
#include "vmm/ne_line.hpp"

namespace alcove::vmm {

class NeBackend : public ne::Backend {
  public:
    // Loop and machine are borrowed and outlive this, the machine until machine_ended(). `parent` is what the
    // primary was launched as.
    NeBackend(EventLoop& loop, machine::Carvable& machine, ne::Parent parent, NeLine::Callbacks callbacks)
        : parent_(std::move(parent)),
          carved_(parent_.ram),
          carver_(machine, loop),
          line_(loop, std::move(callbacks)) {}

    void execute(const ne::Request& request, Done done) override;
    void release_all(std::function<void()> released) override;

    NeLine& line() { return line_; }
    void machine_ended() { carver_.machine_ended(); }
    const machine::Carver::Counters& counters() const { return carver_.counters(); }

  private:
    using Ranges = std::vector<memory::GuestRange>;

    void add_memory(const ne::SlotAddMem& request);
    void on_withdrawn(const ne::SlotAddMem& request, const Result<void>& withdrawn);
    void on_added(const ne::SlotAddMem& request, const ne::Reply& reply);
    void readmit_then_answer(Ranges ranges, const ne::Reply& reply);
    void answer(const ne::Reply& reply);
    void begin_release();
    void end_release();
    Ranges forget(Ranges ranges);  // they are about to be readmitted

    ne::Parent parent_;
    ne::CarvedMap carved_;  // all that is out of sight
    machine::Carver carver_;
    NeLine line_;
    Done done_;             // of the command in hand, as long as somebody waits for it
    bool carving_ = false;  // the command in hand is with the carver
    std::function<void()> released_;
};

}  // namespace alcove::vmm
