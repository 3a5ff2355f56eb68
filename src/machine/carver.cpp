// SPDX-License-Identifier: Apache-2.0
#include "machine/carver.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace alcove::machine {

using memory::GuestRange;

namespace {

constexpr std::chrono::milliseconds kAskForPagesAgain(200);

}  // namespace

struct Carver::Operation {
    enum class Kind { Withdraw, Readmit };

    Kind kind;
    std::vector<GuestRange> ranges;
    Done done;

    std::optional<Error> error{};

    uint64_t length() const {
        uint64_t total = 0;
        for (const auto& range : ranges)
            total += range.size;
        return total;
    }
};

Carver::Carver(Carvable& machine, EventLoop& loop) : machine_(machine), loop_(loop) {}

Carver::~Carver() {
    loop_.cancel(page_timer_);
}

void Carver::withdraw(GuestRange range, Done done) {
    enqueue(std::make_unique<Operation>(
        Operation{.kind = Operation::Kind::Withdraw, .ranges = {range}, .done = std::move(done)}));
}

void Carver::readmit(std::vector<GuestRange> ranges, Done done) {
    enqueue(std::make_unique<Operation>(
        Operation{.kind = Operation::Kind::Readmit, .ranges = std::move(ranges), .done = std::move(done)}));
}

void Carver::machine_ended() {
    machine_ended_ = true;
    // The work of a machine that has ended does not come any more.
    if (after_park_ != nullptr) later(std::exchange(after_park_, nullptr));
    if (page_timer_ == 0) return;
    loop_.cancel(std::exchange(page_timer_, 0));
    later(&Carver::reserve);
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
    if (operations_.front()->kind == Operation::Kind::Withdraw) return remove_slots();
    reserve();
}

void Carver::remove_slots() {
    parked([this] { return machine_.remove_memory(operations_.front()->ranges.front()); }, &Carver::fence);
}

// Devices that are in the range are waited for, and get no further in.
void Carver::fence() {
    auto& operation = *operations_.front();
    auto fenced = machine_.memory()->fence(operation.ranges.front());
    if (fenced) return finish();
    operation.error = std::move(fenced.error());
    restore_slots();
}

void Carver::reserve() {
    auto reserved = machine_.reserve_memory(operations_.front()->ranges);
    if (reserved) return unfence();
    if (reserved.error().code() == ErrorCode::OutOfMemory) return wait_for_pages();
    lose_machine(std::move(reserved).error());
    finish();
}

// The guest lives on without them meanwhile.
void Carver::wait_for_pages() {
    page_timer_ = loop_.after(kAskForPagesAgain, [this] {
        page_timer_ = 0;
        reserve();
    });
}

void Carver::unfence() {
    for (const auto& range : operations_.front()->ranges) {
        const auto unfenced = machine_.memory()->unfence(range);
        if (unfenced) continue;
        lose_machine(unfenced.error());
        return finish();
    }
    restore_slots();
}

void Carver::restore_slots() {
    parked(
        [this]() -> Result<void> {
            for (const auto& range : operations_.front()->ranges)
                TRY(machine_.restore_memory(range));
            return {};
        },
        &Carver::finish);
}

void Carver::abandon() {
    auto& operation = *operations_.front();
    operation.error.reset();
    if (operation.kind == Operation::Kind::Withdraw)
        operation.error = Error(ErrorCode::Cancelled, "the machine has ended");
    finish();
}

void Carver::finish() {
    const auto operation = std::move(operations_.front());
    operations_.pop_front();
    if (!operations_.empty()) later(&Carver::begin);
    if (operation->error) return operation->done(Failure{*operation->error});
    const bool withdrew = operation->kind == Operation::Kind::Withdraw;
    (withdrew ? counters_.bytes_withdrawn : counters_.bytes_readmitted) += operation->length();
    operation->done({});
}

}  // namespace alcove::machine
