// SPDX-License-Identifier: Apache-2.0
#include "daemon/ne_control.hpp"

#include <utility>

#include "ne/message_codec.hpp"
#include "ne/slot_uid.hpp"
#include "support/log.hpp"

namespace alcove::daemon {

namespace messages = api::ne;

Result<std::unique_ptr<NeControl>> NeControl::create(EventLoop& loop, ne::Parent parent, Host& host) {
    auto table = TRY(ne::SlotTable::create(std::move(parent), ne::system_slot_uids()));
    return std::unique_ptr<NeControl>(new NeControl(loop, std::move(table), host));
}

Result<std::unique_ptr<NeControl>> NeControl::restore(EventLoop& loop, ne::Parent parent, Host& host,
                                                      const CarvingRecord& record) {
    auto table = TRY(ne::SlotTable::restore(std::move(parent), ne::system_slot_uids(), record.slots));
    std::unique_ptr<NeControl> control(new NeControl(loop, std::move(table), host));
    control->last_ = ne::LastAnswer(record.last);
    control->life_ = record.life;
    if (control->table_.in_hand()) {
        control->run(*control->table_.in_hand());
    } else if (control->table_.is_releasing()) {
        control->free_slots();
    }
    return control;
}

NeControl::~NeControl() = default;

Result<void> NeControl::take_line(Fd socket, uint32_t life) {
    line_.reset();
    waiting_line_.reset();
    release_asked_ = false;
    // What an earlier life carved goes first, if it ended without releasing it; then its numbers mean
    // nothing.
    if (life != std::exchange(life_, life)) new_life_ = release_wanted_ = true;
    if (!new_life_) return connect(std::move(socket));
    waiting_line_ = std::move(socket);
    release_when_idle();
    return {};
}

Result<void> NeControl::connect(Fd socket) {
    api::Connection::Callbacks callbacks;
    callbacks.on_message = [this](const api::Envelope& envelope, const std::vector<Fd>& descriptors) {
        if (!descriptors.empty())
            return Result<void>(fail(ErrorCode::InvalidMessage, "a descriptor on the NE line"));
        return on_message(envelope);
    };
    callbacks.on_closed = [this](const Error& error) {
        // The VMM's end, or its next life's beginning, is told by its shim.
        if (error.code() != ErrorCode::ConnectionLost) host_.protocol_broken(error);
    };
    line_ = TRY(api::Connection::create(loop_, Channel(std::move(socket)), messages::kProtocol,
                                        messages::kVersions, std::move(callbacks)));
    // One that ended while nobody could be told. Telling it once more does no harm: the driver asks for the
    // state.
    for (const auto* slot : table_.slots())
        if (slot->state == ne::SlotState::STOPPED) tell_changed(*slot);
    return {};
}

Result<void> NeControl::on_message(const api::Envelope& envelope) {
    if (envelope.type == messages::Policy::kType) return on_policy(envelope);
    if (envelope.type != messages::ReleaseAll::kType) return on_command(envelope);
    const auto body = TRY(api::decode<messages::ReleaseAll>(envelope));
    if (release_asked_) return fail(ErrorCode::InvalidMessage, "a release while another is under way");
    release_asked_ = true;
    release_request_ = body.request;
    release_wanted_ = true;
    release_when_idle();
    return {};
}

Result<void> NeControl::on_policy(const api::Envelope& envelope) {
    using messages::Policy;
    const auto body = TRY(api::decode<Policy>(envelope));
    if (body.policy > Policy::kShared) return fail(ErrorCode::InvalidMessage, "an unknown CPU policy");
    std::optional<host::CpuPolicy> wanted;
    if (body.policy == Policy::kDedicated) wanted = host::CpuPolicy::Dedicated;
    if (body.policy == Policy::kShared) wanted = host::CpuPolicy::Shared;
    const auto now = host_.policy(wanted);
    if (!now) {
        send(api::encode_failed(body.request, now.error()));
        return {};
    }
    send(api::encode(
        Policy{.request = body.request,
               .policy = *now == host::CpuPolicy::Shared ? Policy::kShared : Policy::kDedicated}));
    return {};
}

Result<void> NeControl::on_command(const api::Envelope& envelope) {
    const auto command = TRY(ne::decode_request(envelope));
    using Verdict = ne::LastAnswer::Verdict;
    switch (last_.judge(command.id)) {
        case Verdict::InHand:
            return {};
        case Verdict::Answered:
            send(ne::encode_reply(command.id, last_.reply()));
            return {};
        case Verdict::OutOfOrder:
            return fail(ErrorCode::InvalidMessage,
                        "a command numbered " + std::to_string(command.id) + " out of order");
        case Verdict::New:
            break;
    }
    last_.begin(command.id);
    const auto outcome = table_.begin(command.request);
    if (const auto* reply = std::get_if<ne::Reply>(&outcome)) {
        const bool opened = std::holds_alternative<ne::SlotAlloc>(command.request) && ne::rc_of(*reply) == 0;
        if (opened) host_.open_slot(ne::to_slot_uid(reply->slot_uid));
        answer(*reply);
        return {};
    }
    save();
    run(std::get<ne::Work>(outcome));
    return {};
}

void NeControl::run(const ne::Work& work) {
    const auto done = [weak = std::weak_ptr(self_)](const Result<void>& outcome) {
        if (const auto self = weak.lock()) (*self)->finish(outcome);
    };
    const auto certainly_done = [done] { done({}); };
    if (const auto* memory = std::get_if<ne::work::AddMemory>(&work)) return host_.add_memory(*memory, done);
    // The primary's vCPU waits in its offline loop; its core changes owner when the enclave starts.
    if (std::holds_alternative<ne::work::AddVcpus>(work)) return finish({});
    if (const auto* start = std::get_if<ne::work::Start>(&work))
        return host_.start(*table_.find(start->slot), done);
    if (const auto* stop = std::get_if<ne::work::Stop>(&work)) return host_.stop(stop->slot, certainly_done);
    host_.free(std::get<ne::work::Free>(work).slot, certainly_done);
}

void NeControl::finish(const Result<void>& outcome) {
    if (!outcome) log::warn("an NE command failed: {}", outcome.error().to_string());
    answer(table_.finish(outcome ? 0 : -ne::errno_of(outcome.error())));
    if (const auto slot = std::exchange(ended_early_, std::nullopt)) enclave_ended(*slot);
    release_when_idle();
}

void NeControl::answer(const ne::Reply& reply) {
    const uint32_t number = last_.saved().number;
    last_.answer(reply);
    save();
    send(ne::encode_reply(number, reply));
}

void NeControl::enclave_ended(ne::SlotUid slot) {
    const auto in_hand = table_.in_hand();
    if (in_hand == ne::Work(ne::work::Start{slot})) {
        ended_early_ = slot;
        return;
    }
    const bool is_being_freed = table_.is_releasing() || in_hand == ne::Work(ne::work::Free{slot});
    if (is_being_freed || !table_.enclave_ended(slot)) return;
    save();
    tell_changed(*table_.find(slot));
}

void NeControl::tell_changed(const ne::Slot& slot) {
    send(api::encode(messages::SlotChanged{
        .slot_uid = ne::number(slot.uid), .state = static_cast<uint16_t>(slot.state), .reserved = {}}));
}

void NeControl::release_when_idle() {
    if (!release_wanted_ || table_.in_hand() || table_.is_releasing()) return;
    table_.begin_release();
    save();
    free_slots();
}

void NeControl::free_slots() {
    const auto slots = table_.slots();
    slots_to_free_ = slots.size() + 1;
    const auto freed = [weak = std::weak_ptr(self_)] {
        const auto self = weak.lock();
        if (self && --(*self)->slots_to_free_ == 0) (*self)->released();
    };
    for (const auto* slot : slots)
        host_.free(slot->uid, freed);
    freed();
}

void NeControl::released() {
    table_.finish_release();
    release_wanted_ = false;
    if (std::exchange(new_life_, false)) last_ = {};
    save();
    if (std::exchange(release_asked_, false))
        send(api::encode(messages::Released{.request = release_request_, .reserved = {}}));
    if (!waiting_line_.is_open()) return;
    const auto connected = connect(std::move(waiting_line_));
    if (!connected) host_.protocol_broken(connected.error());
}

// What can not be stored is done all the same: the enclave's pages are where they are, and the table knows
// it.
void NeControl::save() {
    const auto saved = host_.save({.life = life_, .slots = table_.saved(), .last = last_.saved()});
    if (!saved) log::error("the slots of a primary VM are not stored: {}", saved.error().to_string());
}

void NeControl::send(Bytes message) {
    if (line_ != nullptr) line_->send(std::move(message));
}

}  // namespace alcove::daemon
