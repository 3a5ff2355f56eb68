// SPDX-License-Identifier: Apache-2.0
#include "enclave/carved_memory.hpp"

#include <algorithm>
#include <utility>

#include <fcntl.h>

#include "enclave/guest_ram.hpp"
#include "support/checked.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

Result<std::unique_ptr<CarvedMemory>> CarvedMemory::create(EventLoop& loop, Fd parent, Limits limits,
                                                           PreparationWork work) {
    auto file = TRY(make_guest_ram(limits.page_size));
    return std::unique_ptr<CarvedMemory>(
        new CarvedMemory(loop, std::move(parent), std::move(file), limits, std::move(work)));
}

CarvedMemory::~CarvedMemory() {
    cancel();
    if (thread_.joinable()) thread_.join();
}

Result<void> CarvedMemory::check(const CarvedRegion& region) const {
    const auto refuse = [](const char* what) {
        return fail(ErrorCode::InvalidArgument, std::string("a region of memory ") + what);
    };
    if (is_given_back()) return refuse("of an enclave that has given back all");
    if (region.size == 0 ||
        !is_aligned<uint64_t>(region.parent_offset | region.size | region.enclave_offset, limits_.page_size))
        return refuse("that is not whole pages");
    if (region.enclave_offset != bytes_) return refuse("that does not follow the one before");
    if (!range_within(bytes_, region.size, limits_.bytes)) return refuse("that is more than was announced");
    const uint64_t parent_bytes = TRY(sys::file_size(parent_));
    if (!range_within(region.parent_offset, region.size, parent_bytes))
        return refuse("that the primary VM does not have");
    const bool overlaps = std::ranges::any_of(regions_, [&](const CarvedRegion& other) {
        return region.parent_offset < other.parent_offset + other.size &&
               other.parent_offset < region.parent_offset + region.size;
    });
    if (overlaps) return refuse("that the enclave has already");
    return {};
}

Result<void> CarvedMemory::add(const CarvedRegion& region, Done done) {
    if (busy_) return fail(ErrorCode::Busy, "the enclave's memory is being changed");
    TRY(check(region));
    TRY(sys::truncate(file_, bytes_ + region.size));
    regions_.push_back(region);
    bytes_ += region.size;
    adding_ = true;
    run(
        [this, region] {
            return work_.move_region({parent_, region.parent_offset}, {file_, region.enclave_offset},
                                     region.size, sizes_, counters_.added);
        },
        [this, done = std::move(done)](Result<void> outcome) {
            adding_ = false;
            // What was lost is not the primary's as before, so it is given back with the others.
            if (!outcome && outcome.error().code() != ErrorCode::MemoryLost) forget_last();
            done(std::move(outcome));
        });
    return {};
}

void CarvedMemory::forget_last() {
    bytes_ -= regions_.back().size;
    regions_.pop_back();
    const auto cut = sys::truncate(file_, bytes_);
    if (!cut) log::warn("the enclave's memory file: {}", cut.error().to_string());
}

void CarvedMemory::clear(memory::FileRange later, Done done) {
    later_ = later;
    run([this] { return clear_all(); }, std::move(done));
}

void CarvedMemory::complete(Done done) {
    run([this] { return complete_all(); }, std::move(done));
}

// Each page is gone before another is there: what the primary wrote is in none of them.
Result<void> CarvedMemory::renew(memory::FileRange range) {
    const uint64_t end = range.offset + range.length;
    for (uint64_t at = range.offset; at < end; at += sizes_.chunk) {
        if (cancelled_) return fail(ErrorCode::Cancelled, "clearing the memory was cancelled");
        const uint64_t size = std::min(sizes_.chunk, end - at);
        TRY(memory::renew_pages({file_, at}, size, counters_.started));
    }
    return {};
}

// What has no page yet goes first: the copy of the image has its pages.
Result<void> CarvedMemory::clear_all() {
    const uint64_t later_end = later_.offset + later_.length;
    if (later_.length != 0) TRY(memory::release_pages({file_, later_.offset}, later_.length));
    TRY(renew({.offset = 0, .length = later_.offset}));
    TRY(renew({.offset = later_end, .length = bytes_ - later_end}));
    return sys::add_seals(file_, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

// The guest runs already, and may have taken pages of these: what is there stays.
Result<void> CarvedMemory::complete_all() {
    for (uint64_t done = 0; done < later_.length; done += sizes_.chunk) {
        if (cancelled_) return fail(ErrorCode::Cancelled, "completing the memory was cancelled");
        const memory::FileRange chunk{.offset = later_.offset + done,
                                      .length = std::min(sizes_.chunk, later_.length - done)};
        TRY(work_.reserve_missing(file_, bytes_, {&chunk, 1}));
        counters_.started.bytes_cleared += chunk.length;
    }
    return {};
}

void CarvedMemory::give_back(Done done) {
    run([this] { return return_all(); },
        [this, done = std::move(done)](Result<void> outcome) {
            if (outcome) {
                // The primary's memory is not held any longer than it is needed.
                parent_.reset();
                file_.reset();
            }
            done(std::move(outcome));
        });
}

Result<void> CarvedMemory::return_all() {
    bool all_released = false;
    for (const auto& region : regions_) {
        const auto give = [&] {
            return work_.return_region({file_, region.enclave_offset}, {parent_, region.parent_offset},
                                       region.size, sizes_, counters_.returned);
        };
        auto given = give();
        if (!given && !std::exchange(all_released, true)) {
            TRY(memory::release_pages({file_, 0}, bytes_));
            given = give();
        }
        TRY(std::move(given));
    }
    return {};
}

void CarvedMemory::run(std::function<Result<void>()> work, Done done) {
    ALCOVE_CHECK(!busy_, "one piece of work at a time");
    busy_ = true;
    auto finish = [this, alive = std::weak_ptr<bool>(alive_), done = std::move(done)](Result<void> outcome) {
        if (alive.expired()) return;
        thread_.join();
        busy_ = false;
        done(std::move(outcome));
    };
    thread_ = std::thread([&loop = loop_, work = std::move(work), finish = std::move(finish)] {
        loop.post([finish, outcome = work()] { finish(outcome); });
    });
}

}  // namespace alcove::enclave
