// SPDX-License-Identifier: Apache-2.0
#include "machine/carver.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "support/bits.hpp"
#include "support/log.hpp"

namespace alcove::machine {

using memory::FilePart;
using memory::GuestRange;

struct Carver::Operation {
    enum class Kind { Take, GiveBack };

    Kind kind;
    std::vector<GuestRange> ranges;
    const Fd* file;   // the enclave's
    uint64_t offset;  // in it, of the first range
    Done done;

    std::optional<Error> error{};
    // Bytes whose owner has changed, in the order of `ranges`; take() counts them back down when it fails.
    uint64_t changed = 0;
    bool file_released = false;  // all of the enclave's pages, because the host had no others

    uint64_t length() const {
        uint64_t total = 0;
        for (const auto& range : ranges)
            total += range.size;
        return total;
    }
};

namespace {

uint64_t file_offset(const memory::GuestMemory& memory, memory::GuestAddress address) {
    for (const auto& mapped : memory.mapped_regions())
        if (mapped.region.range.contains(address))
            return mapped.region.file_offset + (address.value() - mapped.region.range.base.value());
    ALCOVE_CHECK(false, "only RAM is carved");
    return 0;
}

Error ended() {
    return Error(ErrorCode::Cancelled, "the machine has ended");
}

}  // namespace

Carver::Carver(Carvable& machine, EventLoop& loop, const Fd& ram, Sizes sizes)
    : machine_(machine), loop_(loop), ram_(ram), sizes_(sizes) {
    ALCOVE_CHECK(sizes.chunk > 0 && is_aligned(sizes.chunk, sizes.page), "a chunk is whole pages");
}

Carver::~Carver() = default;

void Carver::take(GuestRange range, FilePart to, Done done) {
    enqueue(std::make_unique<Operation>(Operation{.kind = Operation::Kind::Take,
                                                  .ranges = {range},
                                                  .file = &to.file,
                                                  .offset = to.offset,
                                                  .done = std::move(done)}));
}

void Carver::give_back(std::vector<GuestRange> ranges, FilePart from, Done done) {
    enqueue(std::make_unique<Operation>(Operation{.kind = Operation::Kind::GiveBack,
                                                  .ranges = std::move(ranges),
                                                  .file = &from.file,
                                                  .offset = from.offset,
                                                  .done = std::move(done)}));
}

void Carver::machine_ended() {
    machine_ended_ = true;
    // The work of a machine that has ended does not come any more.
    if (after_park_ != nullptr) later(std::exchange(after_park_, nullptr));
}

void Carver::enqueue(std::unique_ptr<Operation> operation) {
    operations_.push_back(std::move(operation));
    if (operations_.size() == 1) later(&Carver::begin);
}

// The next step of the first operation, in a later turn of the loop.
void Carver::later(Step step) {
    loop_.post([weak = std::weak_ptr(self_), step] {
        const auto self = weak.lock();
        if (!self) return;
        Carver& carver = **self;
        (carver.*(carver.machine_ended_ ? &Carver::abandon : step))();
    });
}

// Runs `work` while no vCPU is in the guest, and then the next step. Work that fails costs the machine.
void Carver::parked(std::function<Result<void>()> work, Step then) {
    after_park_ = then;
    const auto asked = EventLoop::Clock::now();
    machine_.with_vcpus_parked([weak = std::weak_ptr(self_), work = std::move(work), asked] {
        const auto self = weak.lock();
        if (!self || (*self)->after_park_ == nullptr) return;
        Carver& carver = **self;
        auto result = work();
        ++carver.counters_.pauses;
        carver.counters_.longest_pause =
            std::max(carver.counters_.longest_pause, EventLoop::Clock::now() - asked);
        auto next = std::exchange(carver.after_park_, nullptr);
        if (!result) {
            carver.lose_machine(result.error());
            next = &Carver::finish;
        }
        carver.later(next);
    });
}

void Carver::lose_machine(Error error) {
    machine_.give_up("carving: " + error.to_string());
    operations_.front()->error = std::move(error);
}

void Carver::begin() {
    const auto& operation = *operations_.front();
    for (const auto& range : operation.ranges)
        ALCOVE_CHECK(is_aligned(range.base.value() | range.size | operation.offset, sizes_.page),
                     "what is carved is whole pages");
    if (operation.kind == Operation::Kind::Take) return withdraw();
    reserve();
}

void Carver::abandon() {
    auto& operation = *operations_.front();
    if (operation.kind == Operation::Kind::Take) {
        if (!operation.error) operation.error = ended();
    } else {
        release_other(operation.changed, operation.length() - operation.changed);
        operation.error.reset();
    }
    finish();
}

void Carver::finish() {
    const auto operation = std::move(operations_.front());
    operations_.pop_front();
    if (!operations_.empty()) later(&Carver::begin);
    if (operation->error) return operation->done(Failure{*operation->error});
    const bool took = operation->kind == Operation::Kind::Take;
    (took ? counters_.bytes_taken : counters_.bytes_given_back) += operation->length();
    operation->done({});
}

// ---- Taking ----

void Carver::withdraw() {
    parked([this] { return machine_.remove_memory(operations_.front()->ranges.front()); }, &Carver::fence);
}

// Devices that are in the range are waited for, and get no further in.
void Carver::fence() {
    auto& operation = *operations_.front();
    auto fenced = machine_.memory()->fence(operation.ranges.front());
    if (fenced) return move();
    operation.error = std::move(fenced.error());
    readmit();
}

void Carver::move() {
    auto& operation = *operations_.front();
    const uint64_t size = next_chunk();
    if (size == 0) return finish();
    uint64_t moved = 0;
    auto result = memory::move_pages(own(operation.changed), other(operation.changed), size, sizes_.page,
                                     size, moved, counters_.moved);
    if (result) {
        operation.changed += size;
        return later(&Carver::move);
    }
    operation.error = std::move(result.error());
    // Whatever of this chunk arrived: it did not leave either.
    release_other(operation.changed, size);
    move_back();
}

void Carver::move_back() {
    auto& operation = *operations_.front();
    if (operation.changed == 0) return unfence();
    const uint64_t size = std::min(sizes_.chunk, operation.changed);
    const uint64_t at = operation.changed - size;
    uint64_t moved = 0;
    auto result = memory::move_pages(other(at), own(at), size, sizes_.page, size, moved, counters_.moved);
    if (!result) {
        lose_machine(std::move(result.error()));
        return finish();
    }
    operation.changed = at;
    later(&Carver::move_back);
}

// ---- Giving back ----

// The machine's page is there before the enclave's goes, so that nobody else on the host can come between.
void Carver::reserve() {
    auto& operation = *operations_.front();
    const uint64_t size = next_chunk();
    if (size == 0) return unfence();
    auto reserved = memory::reserve_pages(own(operation.changed), size);
    if (!reserved && !std::exchange(operation.file_released, true)) {
        release_other(operation.changed, operation.length() - operation.changed);
        reserved = memory::reserve_pages(own(operation.changed), size);
    }
    if (!reserved) {
        operation.error = std::move(reserved.error());
        return finish();
    }
    if (!operation.file_released) release_other(operation.changed, size);
    operation.changed += size;
    later(&Carver::reserve);
}

void Carver::unfence() {
    for (const auto& range : operations_.front()->ranges) {
        const auto unfenced = machine_.memory()->unfence(range);
        if (unfenced) continue;
        lose_machine(unfenced.error());
        return finish();
    }
    readmit();
}

void Carver::readmit() {
    parked(
        [this]() -> Result<void> {
            for (const auto& range : operations_.front()->ranges)
                TRY(machine_.restore_memory(range));
            return {};
        },
        &Carver::finish);
}

// ---- Places ----

// What is left, but no more than a chunk, and in one range.
uint64_t Carver::next_chunk() const {
    const auto& operation = *operations_.front();
    uint64_t begin = 0;
    for (const auto& range : operation.ranges) {
        if (operation.changed < begin + range.size)
            return std::min(sizes_.chunk, begin + range.size - operation.changed);
        begin += range.size;
    }
    return 0;
}

// The page at `offset` in all ranges together, in the machine's file and in the enclave's.
FilePart Carver::own(uint64_t offset) const {
    for (const auto& range : operations_.front()->ranges) {
        if (offset < range.size)
            return {ram_, file_offset(*machine_.memory(), memory::GuestAddress(range.base.value() + offset))};
        offset -= range.size;
    }
    ALCOVE_CHECK(false, "the offset lies in the ranges");
    return {ram_, 0};
}

FilePart Carver::other(uint64_t offset) const {
    const auto& operation = *operations_.front();
    return {*operation.file, operation.offset + offset};
}

// A page that stays does so in a file that nobody maps any more, until that is closed.
void Carver::release_other(uint64_t offset, uint64_t length) const {
    const auto released = memory::release_pages(other(offset), length);
    if (!released) log::warn("carving: pages of an enclave stay: {}", released.error().to_string());
}

}  // namespace alcove::machine
