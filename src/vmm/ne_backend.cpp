// SPDX-License-Identifier: Apache-2.0
#include "vmm/ne_backend.hpp"

#include <utility>

#include "ne/rules.hpp"

namespace alcove::vmm {

namespace {

memory::GuestRange range_of(const ne::SlotAddMem& request) {
    return {memory::GuestAddress(request.paddr), request.size};
}

}  // namespace

void NeBackend::execute(const ne::Request& request, Done done) {
    ALCOVE_CHECK(!done_ && !released_, "the device has one command in hand at most");
    done_ = std::move(done);
    if (const auto* add = std::get_if<ne::SlotAddMem>(&request)) return add_memory(*add);
    const auto* free = std::get_if<ne::SlotFree>(&request);
    const auto freed = free == nullptr ? std::nullopt : std::optional(ne::to_slot_uid(free->slot_uid));
    line_.command(request, [this, freed](const ne::Reply& reply) {
        if (!freed || ne::rc_of(reply) < 0) return answer(reply);
        readmit_then_answer(forget(carved_.regions_of(*freed)), reply);
    });
}

void NeBackend::answer(const ne::Reply& reply) {
    if (const auto done = std::exchange(done_, {})) done(reply);
}

void NeBackend::add_memory(const ne::SlotAddMem& request) {
    const int refused = ne::check_new_region(parent_, carved_, ne::to_slot_uid(request.slot_uid),
                                             request.paddr, request.size);
    if (refused != 0) return answer(ne::refusal(refused));
    carving_ = true;
    carver_.withdraw(range_of(request),
                     [this, request](const Result<void>& withdrawn) { on_withdrawn(request, withdrawn); });
}

void NeBackend::on_withdrawn(const ne::SlotAddMem& request, const Result<void>& withdrawn) {
    carving_ = false;
    if (withdrawn) carved_.add(range_of(request), ne::to_slot_uid(request.slot_uid));
    if (released_) return begin_release();
    if (!withdrawn) return answer(ne::refusal(ne::errno_of(withdrawn.error())));
    line_.command(request, [this, request](const ne::Reply& reply) { on_added(request, reply); });
}

void NeBackend::on_added(const ne::SlotAddMem& request, const ne::Reply& reply) {
    if (ne::rc_of(reply) >= 0) return answer(reply);
    readmit_then_answer(forget({range_of(request)}), reply);
}

// A failure of the carver's has ended the machine: what the driver is told does not matter any more.
void NeBackend::readmit_then_answer(Ranges ranges, const ne::Reply& reply) {
    if (ranges.empty()) return answer(reply);
    carving_ = true;
    carver_.readmit(std::move(ranges), [this, reply](const Result<void>&) {
        carving_ = false;
        if (released_) return begin_release();
        answer(reply);
    });
}

void NeBackend::release_all(std::function<void()> released) {
    ALCOVE_CHECK(!released_, "the device asks once");
    done_ = {};
    released_ = std::move(released);
    if (!carving_) begin_release();
}

void NeBackend::begin_release() {
    line_.release([this] { end_release(); });
}

void NeBackend::end_release() {
    auto ranges = forget(carved_.all_regions());
    if (ranges.empty()) return std::exchange(released_, {})();
    carver_.readmit(std::move(ranges), [this](const Result<void>&) { std::exchange(released_, {})(); });
}

NeBackend::Ranges NeBackend::forget(Ranges ranges) {
    for (const auto& range : ranges)
        carved_.remove(range);
    return ranges;
}

}  // namespace alcove::vmm
