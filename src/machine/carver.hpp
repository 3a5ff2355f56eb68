// SPDX-License-Identifier: Apache-2.0
//
// Moves RAM of a running machine into the file of an enclave's memory, and gives it back as fresh zero pages.
//
//     take():       vCPUs parked, slots gone ─► fenced off ─► moved chunk by chunk ─► done
//                        ▲                                        │ fails: moved back, unfenced, slots back
//     give_back():       └── slots back ◄─ unfenced ◄─ each chunk reserved here, then released there
//
// The vCPUs stand still only while slots change; a chunk is moved in one turn of the event loop, so that the
// machine's devices go on between. Each page has one owner all the time, and the host's memory in use never
// grows by more than a chunk. One operation at a time; others wait in order.
//
// Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "machine/carvable.hpp"
#include "memory/page_mover.hpp"
#include "support/bits.hpp"
#include "support/event_loop.hpp"

namespace alcove::machine {

class Carver {
  public:
    using Done = std::function<void(Result<void>)>;  // on the loop's thread, once, never from within the call

    struct Sizes {
        uint64_t page = 4_KiB;   // of the host memory behind both files
        uint64_t chunk = 2_MiB;  // whole pages
    };
    struct Counters {
        memory::MoveCounters moved;                  // bytes that our code touched, both directions
        uint64_t bytes_taken = 0;                    // completed
        uint64_t bytes_given_back = 0;               // completed
        uint64_t pauses = 0;                         // how often the vCPUs were parked
        EventLoop::Clock::duration longest_pause{};  // from asking them to stop until they may go on
    };

    // All borrowed and outlive this: the machine until machine_ended(). `ram` is the file behind its memory.
    Carver(Carvable& machine, EventLoop& loop, const Fd& ram, Sizes sizes);
    ~Carver();
    Carver(const Carver&) = delete;
    Carver& operator=(const Carver&) = delete;

    // The range, whole pages of one region that are the machine's, into `to` (borrowed until `done`). After
    // an error everything is as it was, contents too; where that could not be had, the machine was ended.
    void take(memory::GuestRange range, memory::FilePart to, Done done);

    // Ranges that were taken, as they were; their pages lie in `from` one after the other (borrowed until
    // `done`). The contents are lost. ErrorCode::OutOfMemory when the host has no pages, after all of `from`
    // was released: the ranges are absent still and it can be asked for again. After other errors the machine
    // was ended.
    void give_back(std::vector<memory::GuestRange> ranges, memory::FilePart from, Done done);

    // The machine has ended, or is about to be destroyed. Nothing is taken any more: what is under way fails,
    // with contents wherever they are then. Giving back only releases what the enclave had.
    void machine_ended();

    bool is_idle() const { return operations_.empty(); }
    const Counters& counters() const { return counters_; }

  private:
    struct Operation;
    using Step = void (Carver::*)();

    void enqueue(std::unique_ptr<Operation> operation);
    void later(Step step);
    void parked(std::function<Result<void>()> work, Step then);
    void lose_machine(Error error);

    // Steps, in the order of the picture.
    void begin();
    void withdraw();
    void fence();
    void move();
    void move_back();
    void reserve();
    void unfence();
    void readmit();
    void abandon();
    void finish();

    uint64_t next_chunk() const;
    memory::FilePart own(uint64_t offset) const;
    memory::FilePart other(uint64_t offset) const;
    void release_other(uint64_t offset, uint64_t length) const;

    Carvable& machine_;
    EventLoop& loop_;
    const Fd& ram_;
    const Sizes sizes_;
    bool machine_ended_ = false;
    Step after_park_ = nullptr;                          // set while the vCPUs were asked to park
    std::deque<std::unique_ptr<Operation>> operations_;  // the first is under way
    Counters counters_;
    std::shared_ptr<Carver*> self_ = std::make_shared<Carver*>(this);  // what is posted holds it weakly
};

}  // namespace alcove::machine
