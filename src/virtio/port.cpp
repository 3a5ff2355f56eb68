// SPDX-License-Identifier: Apache-2.0
#include "virtio/port.hpp"

#include <algorithm>
#include <utility>

#include "support/check.hpp"

namespace alcove::virtio {

using port::Control;
using port::kControlReceiveQueue;
using port::kControlTransmitQueue;
using port::kReceiveQueue;
using port::kTransmitQueue;

PortDevice::PortDevice(EventLoop& loop, std::string name, Handlers handlers)
    : loop_(loop), name_(std::move(name)), handlers_(std::move(handlers)) {
    ALCOVE_CHECK(!name_.empty() && name_.size() <= kMaxName, "a name of a port");
}

Bytes PortDevice::config() const {
    return to_bytes(object_bytes(port::Config{.cols = 0, .rows = 0, .max_nr_ports = 1, .emerg_wr = 0}));
}

void PortDevice::activate(Activation activation) {
    queues_ = std::move(activation.queues);
    link_ = activation.link;
    is_serving_ = true;
    is_multiport_ = (activation.features & port::feature::MULTIPORT) != 0;
}

void PortDevice::reset() {
    is_serving_ = false;
    for (auto& timer : timers_)
        loop_.cancel(std::exchange(timer, 0));
    queues_.clear();
    link_ = nullptr;
    waiting_ = 0;
    set_open(false);
}

void PortDevice::tell(Bytes message) {
    ALCOVE_CHECK(message.size() <= kMaxMessage, "a short message");
    if (!is_open_) return;
    message_ = std::move(message);
    serve_now(kReceiveQueue);
}

Result<void> PortDevice::process_queue(uint16_t index) {
    auto served = serve(index);
    // What the driver said may want an answer.
    if (served && index == kControlTransmitQueue) served = serve(kControlReceiveQueue);
    if (!served) is_serving_ = false;
    return served;
}

void PortDevice::serve_now(uint16_t index) {
    const auto served = process_queue(index);
    if (!served) link_->needs_reset(served.error());
}

Result<void> PortDevice::serve(uint16_t index) {
    if (!is_serving_ || !queues_.at(index).is_enabled()) return {};
    switch (index) {
        case kReceiveQueue:
            TRY(send_message());
            break;
        case kControlReceiveQueue:
            TRY(send_announcements());
            break;
        default:
            TRY(take(index));
    }
    const bool interrupt = TRY(queues_.at(index).publish_and_check());
    if (interrupt) link_->interrupt(queue_bit(index));
    return {};
}

Result<void> PortDevice::send_message() {
    if (!message_) return {};
    const bool sent = TRY(put(kReceiveQueue, *message_));
    if (sent) message_.reset();
    return {};
}

Result<void> PortDevice::send_announcements() {
    for (const auto which : {Add, Name, Open}) {
        if ((waiting_ & which) == 0) continue;
        const bool sent = TRY(put(kControlReceiveQueue, announcement(which)));
        if (!sent) return {};
        waiting_ = static_cast<uint8_t>(waiting_ & ~which);
    }
    return {};
}

Bytes PortDevice::announcement(Announcement which) const {
    const uint16_t event = which == Add    ? port::DEVICE_ADD
                           : which == Name ? port::PORT_NAME
                                           : port::PORT_OPEN;
    const Control control{.id = 0, .event = event, .value = 1};
    const std::string_view text = which == Name ? std::string_view(name_) : std::string_view();
    Bytes message(sizeof control + text.size());
    std::ranges::copy(object_bytes(control), message.begin());
    std::ranges::copy(text, message.begin() + sizeof control);
    return message;
}

Result<bool> PortDevice::put(uint16_t index, ByteView message) {
    auto& queue = queues_.at(index);
    while (true) {
        const bool taken = TRY(queue.pop(chain_));
        if (taken) break;
        const bool came_meanwhile = TRY(queue.enable_notifications());
        if (!came_meanwhile) return false;
    }
    const size_t written = copy_to(queue.memory(), chain_.writable, 0, message);
    TRY(queue.push_used(chain_.head, static_cast<uint32_t>(written)));
    return true;
}

Result<void> PortDevice::take(uint16_t index) {
    auto& queue = queues_.at(index);
    TRY(queue.disable_notifications());
    std::array<uint8_t, kMaxBytes> bytes;
    for (uint32_t turn = 0; turn < kTurn; ++turn) {
        bool taken = TRY(queue.pop(chain_));
        if (!taken) {
            const bool came_meanwhile = TRY(queue.enable_notifications());
            if (!came_meanwhile) return {};
            taken = TRY(queue.pop(chain_));
            if (!taken) continue;
        }
        const size_t size = copy_from(chain_.readable, 0, bytes);
        TRY(queue.push_used(chain_.head, 0));
        const ByteView came = ByteView(bytes).first(size);
        if (index == kControlTransmitQueue) {
            const auto control = read_object<Control>(came);
            if (control) take_control(*control);
        } else if (is_open_) {
            handlers_.came(came);
        }
    }
    continue_later(index);
    return {};
}

void PortDevice::take_control(const Control& control) {
    if (!is_multiport_) return;
    const bool of_port = control.id == 0;
    switch (control.event) {
        case port::DEVICE_READY:  // the driver's id is of no port
            if (control.value == 1) waiting_ |= Add;
            break;
        case port::PORT_READY:
            if (of_port && control.value == 1) waiting_ |= Name | Open;
            break;
        case port::PORT_OPEN:
            if (of_port) set_open(control.value == 1);
            break;
        default:  // of consoles, or of a later specification
            break;
    }
}

void PortDevice::set_open(bool is_open) {
    message_.reset();
    if (std::exchange(is_open_, is_open) != is_open) handlers_.opened(is_open);
}

void PortDevice::continue_later(uint16_t index) {
    auto& timer = timers_.at(index);
    if (timer != 0) return;
    timer = loop_.after(std::chrono::milliseconds(1), [this, index] {
        timers_.at(index) = 0;
        serve_now(index);
    });
}

}  // namespace alcove::virtio
