// SPDX-License-Identifier: Apache-2.0
//
// The memory of a carved enclave: regions of its primary VM's RAM, one behind the other in a file of its own.
// It is the enclave's from add() until give_back() is done, whatever becomes of the VMM meanwhile, so that
// the host's memory in use stays as it is; with this object it is freed. Its image, while there is a copy of
// that, has pages of it (image_room.hpp).
//
//     add() ... add() --> clear() --> complete() --> give_back()
//
// give_back() whenever nothing else is under way.
//
// Each is a thread's work, one at a time; its outcome comes back on the loop.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "enclave/preparation.hpp"
#include "memory/region_mover.hpp"
#include "support/event_loop.hpp"
#include "support/fd.hpp"

namespace alcove::enclave {

struct CarvedRegion {
    uint64_t parent_offset;   // bytes, in the primary's RAM file
    uint64_t size;            // bytes
    uint64_t enclave_offset;  // bytes, in the enclave's

    bool operator==(const CarvedRegion&) const = default;
};

class CarvedMemory {
  public:
    struct Limits {
        uint64_t bytes;      // the most that it can come to have
        uint32_t page_size;  // of both files: api::kSmallPage or api::kHugePage
    };
    using Done = std::function<void(Result<void>)>;  // from the loop, once; not after this object's end

    // The loop is borrowed and outlives the object; `parent` is open for reading and writing.
    static Result<std::unique_ptr<CarvedMemory>> create(EventLoop& loop, Fd parent, Limits limits,
                                                        PreparationWork work);
    ~CarvedMemory();  // waits for what is under way
    CarvedMemory(const CarvedMemory&) = delete;
    CarvedMemory& operator=(const CarvedMemory&) = delete;

    // The region's contents come. At once: Busy, InvalidArgument. When done: as memory::move_region.
    Result<void> add(const CarvedRegion& region, Done done);
    // What was there before is gone: every page is a fresh zero page, but that `later`, whole pages, has
    // none yet, and the size is final. OutOfMemory, Cancelled. Not while busy.
    void clear(memory::FileRange later, Done done);
    // What clear() left out is there, too, as far as it did not come by itself. OutOfMemory, Cancelled. Not
    // while busy.
    void complete(Done done);
    // Every region is fresh zero pages of the primary's. ErrorCode::OutOfMemory: the enclave has no page
    // more, the primary lacks some, and it can be asked for again. Not while busy.
    void give_back(Done done);
    // A clear() or complete() that is under way ends soon.
    void cancel() { cancelled_ = true; }

    // What was done to memory so far: a region to its being the enclave's, all of it to being booted from,
    // and to being the primary's again. Not while busy.
    struct Counters {
        memory::MoveCounters added;
        memory::MoveCounters started;
        memory::MoveCounters returned;
    };
    const Counters& counters() const { return counters_; }

    bool is_busy() const { return busy_; }
    bool is_adding(const CarvedRegion& region) const { return adding_ && regions_.back() == region; }
    bool has_last(const CarvedRegion& region) const {
        return !adding_ && !regions_.empty() && regions_.back() == region;
    }
    bool is_given_back() const { return !parent_.is_open(); }
    uint64_t bytes() const { return bytes_; }
    const Fd& file() const { return file_; }

  private:
    CarvedMemory(EventLoop& loop, Fd parent, Fd file, Limits limits, PreparationWork work)
        : loop_(loop),
          parent_(std::move(parent)),
          file_(std::move(file)),
          limits_(limits),
          work_(std::move(work)),
          sizes_{.page = limits.page_size} {}
    Result<void> check(const CarvedRegion& region) const;
    void forget_last();
    Result<void> renew(memory::FileRange range);
    Result<void> clear_all();
    Result<void> complete_all();
    Result<void> return_all();
    void run(std::function<Result<void>()> work, Done done);

    EventLoop& loop_;
    Fd parent_;
    Fd file_;
    Limits limits_;
    PreparationWork work_;
    memory::MoveSizes sizes_;
    std::vector<CarvedRegion> regions_;  // not changed while busy
    uint64_t bytes_ = 0;                 // of all of them
    memory::FileRange later_{};          // not changed while busy
    Counters counters_;                  // the thread's while busy
    bool busy_ = false;
    bool adding_ = false;
    // Set by the loop's thread, read by the other, which only has to notice it some time.
    std::atomic<bool> cancelled_ = false;
    std::thread thread_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // expires with this object
};

}  // namespace alcove::enclave
