// SPDX-License-Identifier: Apache-2.0
#include "vsock/device.hpp"

#include <algorithm>
#include <utility>

#include "vsock/packet.hpp"

namespace alcove::vsock {

namespace {
// Chains or turns after which other work of the loop gets its chance.
constexpr uint32_t kRounds = 4;
constexpr uint32_t kChainsPerRound = 64;
constexpr uint32_t kTurnsPerRound = 256;
// The guest starts on what it has got while we read more.
constexpr uint64_t kFlushBytes = 64 * 1024;
constexpr size_t kMaxReplies = 64;
constexpr uint32_t kBulkPayload = 16 * 1024;
constexpr std::chrono::milliseconds kMaxBulkAge{10'000};
}  // namespace

VsockDevice::VsockDevice(EventLoop& loop, Cid guest_cid, std::vector<Backend*> backends, const Timing& timing)
    : loop_(loop),
      guest_cid_(guest_cid),
      backends_(std::move(backends)),
      timing_(timing),
      bulk_age_(timing.bulk_age) {
    for (auto* backend : backends_)
        backend->set_waker([this] { on_wake(); });
}

VsockDevice::~VsockDevice() {
    reset();
    for (auto* backend : backends_)
        backend->set_waker(nullptr);
}

Bytes VsockDevice::config() const {
    return to_bytes(object_bytes(Config{.guest_cid = number(guest_cid_)}));
}

void VsockDevice::activate(virtio::Activation activation) {
    link_ = activation.link;
    rx_.emplace(std::move(activation.queues[queue_index::kRx]));
    tx_ = std::move(activation.queues[queue_index::kTx]);
    // The event queue's buffers wait for TRANSPORT_RESET, which only a restored machine sends.
    for (auto* backend : backends_)
        backend->activate();
}

void VsockDevice::reset() {
    for (auto* backend : backends_)
        backend->reset();
    loop_.cancel(transmit_timer_);
    loop_.cancel(bulk_timer_);
    transmit_timer_ = 0;
    bulk_timer_ = 0;
    bulk_since_.reset();
    bulk_age_ = timing_.bulk_age;
    alive_ = std::make_shared<bool>(true);
    continues_ = false;
    is_broken_ = false;
    rx_.reset();
    tx_.reset();
    link_ = nullptr;
    replies_.clear();
    unsignalled_descriptors_ = 0;
}

Result<void> VsockDevice::process_queue(uint16_t index) {
    if (index == queue_index::kEvent) return {};
    auto result = index == queue_index::kTx ? drain_transmit() : fill_receive();
    if (!result) stop();
    return result;
}

// The guest broke a ring and gets no further service: host programs need not wait for it.
void VsockDevice::stop() {
    is_broken_ = true;
    for (auto* backend : backends_)
        backend->reset();
}

// ---- from the guest

Result<void> VsockDevice::drain_transmit() {
    for (uint32_t round = 0; round < kRounds; ++round) {
        TRY(tx_->disable_notifications());
        is_draining_ = true;
        auto drained = drain_chains();
        is_draining_ = false;
        const bool has_more = TRY(std::move(drained));
        TRY(tx_->publish());
        TRY(fill_receive());
        TRY(settle_transmit());
        if (has_more) continue;
        // Last of all, because until then the guest adds packets without an exit.
        const bool came_meanwhile = TRY(enable_transmit_notifications());
        if (!came_meanwhile) return {};
    }
    continue_later();
    return {};
}

Result<bool> VsockDevice::enable_transmit_notifications() {
    if (bulk_timer_ != 0) {
        loop_.cancel(std::exchange(bulk_timer_, 0));
        bulk_age_ = std::max(bulk_age_ * 3 / 4, timing_.bulk_age);
    }
    const bool is_bulk = bulk_since_ && EventLoop::Clock::now() - *bulk_since_ >= bulk_age_;
    if (!is_bulk) return tx_->enable_notifications();
    bulk_timer_ = loop_.after(timing_.bulk_patience, [this] { on_bulk_timer(); });
    return tx_->enable_notifications(kSilentPackets);
}

// The guest did not get as far as ringing: the transfer is over, or it had no credit for so much. Packets
// that had to wait for us make us slower to believe in the next bulk transfer.
void VsockDevice::on_bulk_timer() {
    bulk_timer_ = 0;
    if (is_broken_) return;
    const uint64_t before = counters_.packets_from_guest;
    bulk_since_.reset();
    break_off(drain_transmit());
    if (counters_.packets_from_guest != before) bulk_age_ = std::min(bulk_age_ * 4, kMaxBulkAge);
}

// False when the queue was emptied.
Result<bool> VsockDevice::drain_chains() {
    for (uint32_t count = 0; count < kChainsPerRound; ++count) {
        const bool taken = TRY(tx_->pop(chain_));
        if (!taken) return false;
        ++counters_.packets_from_guest;
        unsignalled_descriptors_ += chain_.descriptors;
        route(chain_);
        TRY(tx_->push_used(chain_.head, 0));
    }
    return true;
}

void VsockDevice::route(const virtio::Chain& chain) {
    const auto found = read_header(chain);
    if (!found) {
        ++counters_.packets_malformed;
        return;
    }
    Header header = *found;
    if (header.src_cid != number(guest_cid_)) {
        ++counters_.packets_misaddressed;
        return log_bad_packet("a source that is not its own", header);
    }
    const bool has_payload = op_of(header) == Op::RW;
    if (!has_payload) header.len = 0;
    if (header.len > kMaxPayload || header.len > chain.readable_bytes - kHeaderSize) {
        ++counters_.packets_malformed;
        log_bad_packet("a wrong length", header);
        // Its stream has a hole now: no operation that a stream would survive.
        header.op = static_cast<uint16_t>(Op::INVALID);
        header.len = 0;
    }
    const auto backend = std::ranges::find_if(backends_, [&](const Backend* candidate) {
        return candidate->serves(to_cid(header.dst_cid), to_port(header.dst_port));
    });
    if (backend == backends_.end() || header.type != type::STREAM) {
        ++counters_.packets_unroutable;
        return reply_reset(header);
    }
    if (has_payload && header.len < kBulkPayload) bulk_since_.reset();
    if (has_payload && header.len >= kBulkPayload && !bulk_since_) bulk_since_ = EventLoop::Clock::now();
    payload_.clear();
    virtio::append_part(chain.readable, kHeaderSize, header.len, payload_);
    (*backend)->receive(header, payload_);
}

void VsockDevice::reply_reset(const Header& to) {
    if (op_of(to) == Op::RST) return;
    if (replies_.size() >= kMaxReplies) {
        ++counters_.replies_dropped;
        return;
    }
    replies_.push_back(make_reset(to));
}

// Transmit buffers that were shown but not interrupted for: is it time?
Result<void> VsockDevice::settle_transmit() {
    if (tx_->unsignalled() == 0) {
        unsignalled_descriptors_ = 0;
        return {};
    }
    if (unsignalled_descriptors_ < tx_->size() / 4U) {
        if (transmit_timer_ == 0)
            transmit_timer_ = loop_.after(timing_.transmit_patience, [this] { on_transmit_timer(); });
        return {};
    }
    unsignalled_descriptors_ = 0;
    const bool interrupt = TRY(tx_->take_interrupt());
    if (interrupt) link_->interrupt(virtio::queue_bit(queue_index::kTx));
    return {};
}

void VsockDevice::on_transmit_timer() {
    transmit_timer_ = 0;
    if (is_broken_) return;
    unsignalled_descriptors_ = tx_->size();
    break_off(settle_transmit());
}

// ---- to the guest

Result<void> VsockDevice::fill_receive() {
    TRY(rx_->queue().disable_notifications());
    for (uint32_t turns = 0;; ++turns) {
        if (turns == kTurnsPerRound) {
            continue_later();
            break;
        }
        if (replies_.empty() && next_with_packets() == nullptr) break;
        const bool sent = TRY(send_turn());
        if (rx_->unflushed() >= kFlushBytes) TRY(flush_receive());
        if (sent) continue;
        const bool came_meanwhile = TRY(rx_->queue().enable_notifications());
        if (came_meanwhile) continue;
        ++counters_.receive_starved;
        break;
    }
    return flush_receive();
}

// False when buffers ran out.
Result<bool> VsockDevice::send_turn() {
    if (!replies_.empty()) {
        const bool sent = TRY(rx_->put(replies_.back()));
        if (sent) replies_.pop_back();
        return sent;
    }
    auto* backend = next_with_packets();
    next_backend_ = (next_backend_ + 1) % backends_.size();
    return backend->send(*rx_);
}

Backend* VsockDevice::next_with_packets() {
    for (size_t i = 0; i < backends_.size(); ++i) {
        auto* backend = backends_[(next_backend_ + i) % backends_.size()];
        if (backend->has_packets()) return backend;
    }
    return nullptr;
}

Result<void> VsockDevice::flush_receive() {
    if (rx_->unflushed() > 0 && std::exchange(bulk_since_, std::nullopt) && bulk_timer_ != 0) {
        // An answer: what the guest sends next may wait for one too.
        const bool came_meanwhile = TRY(enable_transmit_notifications());
        if (came_meanwhile) continue_later();
    }
    const bool interrupt = TRY(rx_->flush());
    if (!interrupt) return {};
    virtio::QueueMask queues = virtio::queue_bit(queue_index::kRx);
    if (link_->share_interrupt(queue_index::kRx, queue_index::kTx)) {
        unsignalled_descriptors_ = 0;
        loop_.cancel(std::exchange(transmit_timer_, 0));
        const bool interrupt_transmit = TRY(tx_->take_interrupt());
        if (interrupt_transmit) queues |= virtio::queue_bit(queue_index::kTx);
    }
    link_->interrupt(queues);
    return {};
}

void VsockDevice::on_wake() {
    if (link_ == nullptr || is_broken_ || is_draining_) return;
    break_off(fill_receive());
}

// More is to do, but others come first.
void VsockDevice::continue_later() {
    if (std::exchange(continues_, true)) return;
    loop_.post([this, alive = std::weak_ptr(alive_)] {
        if (alive.expired() || is_broken_) return;
        continues_ = false;
        break_off(drain_transmit());
    });
}

void VsockDevice::break_off(const Result<void>& result) {
    if (result) return;
    stop();
    link_->needs_reset(result.error());
}

void VsockDevice::log_bad_packet(const char* what, const Header& header) {
    uint64_t suppressed = 0;
    if (bad_packet_log_.allow(suppressed))
        log::warn("vsock: dropped a packet of the guest with {}: operation {}, {} bytes ({} more left out)",
                  what, uint16_t{header.op}, uint32_t{header.len}, suppressed);
}

}  // namespace alcove::vsock
