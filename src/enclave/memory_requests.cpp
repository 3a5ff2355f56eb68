// SPDX-License-Identifier: Apache-2.0
#include "enclave/memory_requests.hpp"

#include <utility>

#include "support/log.hpp"

namespace alcove::enclave {

namespace shim = api::shim;

namespace {
constexpr size_t kMaxRequests = 64;
}

void MemoryRequests::answer(uint32_t request, const Result<void>& outcome) const {
    to_daemon_(outcome ? api::encode(shim::Done{.request = request, .reserved = {}})
                       : api::encode_failed(request, outcome.error()));
}

void MemoryRequests::add(const shim::AddMemory& wish) {
    const CarvedRegion region{
        .parent_offset = wish.parent_offset, .size = wish.size, .enclave_offset = wish.enclave_offset};
    if (memory_->has_last(region)) return answer(wish.request, {});
    if (!memory_->is_adding(region)) {
        const auto begun = memory_->add(region, [this](Result<void> added) {
            const auto request = std::exchange(add_waiting_, std::nullopt);
            if (request) answer(*request, added);
            give_back_if_possible();
        });
        if (!begun) return answer(wish.request, begun);
    }
    add_waiting_ = wish.request;
}

void MemoryRequests::give_back(const shim::GiveBack& wish) {
    if (memory_->is_given_back()) return answer(wish.request, {});
    if (give_back_waiting_.size() >= kMaxRequests)
        return answer(wish.request, fail(ErrorCode::Busy, "too many requests for the memory"));
    give_back_waiting_.push_back(wish.request);
    wanted_back_ = true;
    give_back_if_possible();
}

void MemoryRequests::vmm_ended() {
    vmm_ended_ = true;
    give_back_if_possible();
}

void MemoryRequests::clear(memory::FileRange later, CarvedMemory::Done done) {
    memory_->clear(later, then_give_back(std::move(done)));
}

void MemoryRequests::complete(CarvedMemory::Done done) {
    memory_->complete(then_give_back(std::move(done)));
}

CarvedMemory::Done MemoryRequests::then_give_back(CarvedMemory::Done done) {
    return [this, done = std::move(done)](Result<void> outcome) {
        done(std::move(outcome));
        give_back_if_possible();
    };
}

void MemoryRequests::give_back_if_possible() {
    if (!wanted_back_ || !vmm_ended_ || memory_->is_busy() || memory_->is_given_back()) return;
    memory_->give_back([this](Result<void> given) {
        if (!given) log::error("memory of the primary VM is missing: {}", given.error().to_string());
        wanted_back_ = false;
        for (const uint32_t request : std::exchange(give_back_waiting_, {}))
            answer(request, given);
    });
}

void MemoryRequests::forget_waiting() {
    add_waiting_.reset();
    give_back_waiting_.clear();
}

}  // namespace alcove::enclave
