// SPDX-License-Identifier: Apache-2.0
#include "virtio/net.hpp"

#include <algorithm>
#include <utility>

namespace alcove::virtio {

using net::kReceiveQueue;
using net::kTransmitQueue;
using net::PacketHeader;

NetDevice::NetDevice(EventLoop& loop, NetworkLink& link, const Settings& settings)
    : loop_(loop),
      link_(link),
      settings_(settings),
      frame_(NetworkLink::kMaxFrame),
      held_frame_(NetworkLink::kMaxFrame),
      alive_(std::make_shared<bool>(true)) {
    link_.set_user(this);
}

NetDevice::~NetDevice() {
    reset();
    link_.set_user(nullptr);
}

Bytes NetDevice::config() const {
    net::Config config{.status = link_.is_up() ? net::S_LINK_UP : uint16_t{0},
                       .max_virtqueue_pairs = 1,
                       .mtu = settings_.mtu};
    std::ranges::copy(settings_.mac, std::begin(config.mac));
    return to_bytes(object_bytes(config));
}

void NetDevice::activate(Activation activation) {
    for (uint16_t index : {kReceiveQueue, kTransmitQueue})
        queues_[index] = std::move(activation.queues[index]);
    driver_ = activation.link;
    tells_status_ = (activation.features & net::feature::STATUS) != 0;
    is_serving_ = true;
}

void NetDevice::reset() {
    alive_ = std::make_shared<bool>(true);
    link_.want_frames(false);
    is_serving_ = false;
    held_ = 0;
    waits_for_room_ = false;
    for (auto& queue : queues_)
        queue.reset();
    driver_ = nullptr;
}

Result<void> NetDevice::process_queue(uint16_t index) {
    auto result = index == kTransmitQueue ? transmit() : receive();
    if (!result) is_serving_ = false;
    return result;
}

void NetDevice::check(const Result<void>& result) {
    if (result) return;
    is_serving_ = false;
    link_.want_frames(false);
    driver_->needs_reset(result.error());
}

Result<void> NetDevice::settle(uint16_t index) {
    const bool interrupt = TRY(queues_[index]->publish_and_check());
    if (interrupt) driver_->interrupt(queue_bit(index));
    return {};
}

void NetDevice::continue_later(Result<void> (NetDevice::*direction)()) {
    loop_.post([this, direction, alive = std::weak_ptr(alive_)] {
        if (!alive.expired() && is_serving_) check((this->*direction)());
    });
}

// ---- from the guest

Result<void> NetDevice::transmit() {
    auto& queue = *queues_[kTransmitQueue];
    if (waits_for_room_) return {};
    TRY(queue.disable_notifications());
    bool has_more = true;
    while (has_more) {
        const Turn turn = TRY(transmit_turn());
        if (turn == Turn::Limit) continue_later(&NetDevice::transmit);
        if (turn != Turn::Done) break;
        has_more = TRY(queue.enable_notifications());
    }
    return settle(kTransmitQueue);
}

Result<NetDevice::Turn> NetDevice::transmit_turn() {
    auto& queue = *queues_[kTransmitQueue];
    for (uint32_t frames = 0; frames < kFramesPerTurn; ++frames) {
        const bool taken = TRY(queue.pop(chain_));
        if (!taken) return Turn::Done;
        std::array<uint8_t, sizeof(PacketHeader)> bytes{};
        const size_t header_size = copy_from(chain_.readable, 0, bytes);
        const auto header = *read_object<PacketHeader>(bytes);
        const size_t length = copy_from(chain_.readable, sizeof header, frame_);
        const bool is_whole = chain_.readable_bytes == header_size + length;
        if (header.flags != 0 || header.gso_type != 0 || length < NetworkLink::kMinFrame || !is_whole) {
            ++counters_.send_dropped;
        } else if (link_.send(ByteView(frame_).first(length))) {
            ++counters_.sent;
        } else {
            queue.unpop(1);
            waits_for_room_ = true;
            return Turn::Waiting;
        }
        TRY(queue.push_used(chain_.head, 0));
    }
    return Turn::Limit;
}

void NetDevice::room_again() {
    if (std::exchange(waits_for_room_, false) && is_serving_) check(transmit());
}

// ---- to the guest

Result<void> NetDevice::receive() {
    auto& queue = *queues_[kReceiveQueue];
    TRY(queue.disable_notifications());
    Turn turn = TRY(receive_turn());
    while (turn == Turn::Waiting) {
        const bool came_meanwhile = TRY(queue.enable_notifications());
        if (!came_meanwhile) break;
        turn = TRY(receive_turn());
    }
    if (turn == Turn::Limit) continue_later(&NetDevice::receive);
    link_.want_frames(turn != Turn::Waiting);
    return settle(kReceiveQueue);
}

Result<NetDevice::Turn> NetDevice::receive_turn() {
    if (held_ != 0) {
        const bool done = TRY(put(ByteView(held_frame_).first(held_)));
        if (!done) return Turn::Waiting;
        held_ = 0;
    }
    for (uint32_t frames = 0; frames < kFramesPerTurn; ++frames) {
        const auto length = link_.is_up() ? link_.receive(frame_) : std::nullopt;
        if (!length) return Turn::Done;
        const bool done = TRY(put(ByteView(frame_).first(*length)));
        if (done) continue;
        held_ = *length;
        frame_.swap(held_frame_);
        return Turn::Waiting;
    }
    return Turn::Limit;
}

Result<bool> NetDevice::put(ByteView frame) {
    auto& queue = *queues_[kReceiveQueue];
    const bool taken = TRY(queue.pop(chain_));
    if (!taken) return false;
    const PacketHeader header{.num_buffers = 1};
    if (chain_.writable_bytes < sizeof header + frame.size()) {
        queue.unpop(1);
        ++counters_.receive_dropped;
        return true;
    }
    copy_to(queue.memory(), chain_.writable, 0, object_bytes(header));
    copy_to(queue.memory(), chain_.writable, sizeof header, frame);
    TRY(queue.push_used(chain_.head, static_cast<uint32_t>(sizeof header + frame.size())));
    ++counters_.received;
    return true;
}

void NetDevice::frames_waiting() {
    if (is_serving_) check(receive());
}

void NetDevice::link_changed() {
    if (driver_ == nullptr) return;
    if (tells_status_) driver_->config_changed();
    // What waits in the ring would wait for ever.
    room_again();
}

}  // namespace alcove::virtio
