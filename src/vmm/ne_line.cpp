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
        {.on_open = [this](uint16_t) { on_open(); },
         .on_message = [this](const api::Envelope& envelope,
                              const std::vector<Fd>& fds) { return on_message(envelope, fds); },
         .on_closed = [this](const Error& error) { on_closed(error); }}));
    return {};
}

void NeLine::on_open() {
    log::info("there is a line to alcoved");
    send_command();
    send_release();
}

void NeLine::on_closed(const Error& error) {
    log::warn("the line to alcoved ended: {}", error.to_string());
    connection_.reset();
    ask();
}

void NeLine::command(const ne::Request& request, Answered answered) {
    ALCOVE_CHECK(!command_ && !release_, "one command at a time");
    command_ = Command{.number = ++last_command_, .request = request, .answered = std::move(answered)};
    send_command();
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

Result<void> NeLine::on_released(const api::Envelope& envelope) {
    const auto message = TRY(api::decode<wire::Released>(envelope));
    if (!release_ || release_->number != message.request)
        return fail(ErrorCode::InvalidMessage, "alcoved released what it was not asked to");
    command_.reset();
    std::exchange(release_, std::nullopt)->released();
    return {};
}

}  // namespace alcove::vmm
