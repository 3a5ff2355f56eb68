// SPDX-License-Identifier: Apache-2.0
#include "vmm/ne_line.hpp"

#include <utility>

#include "api/ne_messages.hpp"
#include "ne/message_codec.hpp"
#include "support/log.hpp"

namespace alcove::vmm {

namespace wire = api::ne;

void NeLine::ask() {
    asked_ = true;
    callbacks_.wanted();
}

Result<void> NeLine::given(std::vector<Fd> descriptors) {
    if (!std::exchange(asked_, false))
        return fail(ErrorCode::InvalidMessage, "the shim gave a line that was not asked for");
    if (descriptors.size() != 1)
        return fail(ErrorCode::InvalidMessage, "a line to alcoved comes with one descriptor");
    connection_ = TRY(api::Connection::create(
        loop_, Channel(std::move(descriptors.front())), wire::kProtocol, wire::kVersions,
        {.on_open = [this](uint16_t version) { on_open(version); },
         .on_message = [this](const api::Envelope& envelope,
                              const std::vector<Fd>& fds) { return on_message(envelope, fds); },
         .on_closed = [this](const Error& error) { on_closed(error); }}));
    return {};
}

void NeLine::on_open(uint16_t version) {
    version_ = version;
    log::info("there is a line to alcoved");
    send_command();
    send_release();
}

void NeLine::on_closed(const Error& error) {
    log::warn("the line to alcoved ended: {}", error.to_string());
    connection_.reset();
    for (const auto& [number, answered] : std::exchange(policies_, {}))
        answered(fail(ErrorCode::ConnectionLost, "alcoved is away; ask again"));
    ask();
}

void NeLine::command(const ne::Request& request, Answered answered) {
    ALCOVE_CHECK(!command_ && !release_, "one command at a time");
    command_ = Command{.number = ++last_command_, .request = request, .answered = std::move(answered)};
    send_command();
}

void NeLine::policy(uint32_t wanted, std::function<void(Result<uint32_t>)> answered) {
    if (!is_open()) return answered(fail(ErrorCode::ConnectionLost, "alcoved is away; ask again"));
    if (version_ < wire::kPolicyVersion)
        return answered(fail(ErrorCode::Unsupported, "the host's alcoved is too old"));
    const uint32_t number = ++last_policy_;
    policies_.emplace(number, std::move(answered));
    connection_->send(api::encode(wire::Policy{.request = number, .policy = wanted}));
}

void NeLine::release(std::function<void()> released) {
    ALCOVE_CHECK(!release_, "one release at a time");
    // It is still said again on a new connection: alcoved may not have heard of it, and counts.
    if (command_) command_->answered = nullptr;
    release_ = Release{.number = ++last_release_, .released = std::move(released)};
    send_release();
}

void NeLine::send_command() {
    if (is_open() && command_) connection_->send(ne::encode_request(command_->number, command_->request));
}

void NeLine::send_release() {
    if (is_open() && release_)
        connection_->send(api::encode(wire::ReleaseAll{.request = release_->number, .reserved = {}}));
}

Result<void> NeLine::on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors) {
    if (!descriptors.empty()) return fail(ErrorCode::InvalidMessage, "alcoved sent descriptors");
    switch (envelope.type) {
        case wire::Reply::kType:
            return on_reply(envelope);
        case wire::Released::kType:
            return on_released(envelope);
        case wire::Policy::kType:
        case api::Failed::kType:
            return on_policy(envelope);
        case wire::SlotChanged::kType: {
            const auto changed = TRY(api::decode<wire::SlotChanged>(envelope));
            if (!ne::slot_state_from(changed.state))
                return fail(ErrorCode::InvalidMessage, "a slot changed to an unknown state");
            callbacks_.slot_changed();
            return {};
        }
        default:
            return fail(ErrorCode::InvalidMessage, "unknown message from alcoved");
    }
}

Result<void> NeLine::on_reply(const api::Envelope& envelope) {
    const auto answer = TRY(ne::decode_reply(envelope));
    if (!command_ || command_->number != answer.id)
        return fail(ErrorCode::InvalidMessage, "alcoved answered what was not asked");
    const auto answered = std::exchange(command_, std::nullopt)->answered;
    if (answered) answered(answer.reply);
    return {};
}

Result<void> NeLine::on_policy(const api::Envelope& envelope) {
    uint32_t number = 0;
    Result<uint32_t> outcome(0U);
    if (envelope.type == api::Failed::kType) {
        auto failed = TRY(api::decode_failed(envelope));
        number = failed.request;
        outcome = Failure{std::move(failed.error)};
    } else {
        const auto now = TRY(api::decode<wire::Policy>(envelope));
        if (now.policy != wire::Policy::kDedicated && now.policy != wire::Policy::kShared)
            return fail(ErrorCode::InvalidMessage, "alcoved told of an unknown CPU policy");
        number = now.request;
        outcome = uint32_t{now.policy};
    }
    const auto asked = policies_.extract(number);
    if (asked.empty()) return fail(ErrorCode::InvalidMessage, "alcoved answered what was not asked");
    asked.mapped()(std::move(outcome));
    return {};
}

Result<void> NeLine::on_released(const api::Envelope& envelope) {
    const auto message = TRY(api::decode<wire::Released>(envelope));
    if (!release_ || release_->number != message.request)
        return fail(ErrorCode::InvalidMessage, "alcoved released what it was not asked to");
    command_.reset();
    std::exchange(release_, std::nullopt)->released();
    return {};
}

}  // namespace alcove::vmm
