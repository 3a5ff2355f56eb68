// SPDX-License-Identifier: Apache-2.0
#include "vsock/fabric_link.hpp"

#include <algorithm>
#include <utility>

#include "support/log.hpp"
#include "virtio/chain.hpp"
#include "vsock/services.hpp"

namespace alcove::vsock {

namespace {

bool is_control(Op op) {
    return op >= Op::REQUEST && op <= Op::CREDIT_REQUEST && op != Op::RW;
}

// Linux's default buffer, while there is enough for it.
constexpr WindowBudget::Shares kShares{.one_of = 64, .max_window = 256 * 1024};

}  // namespace

FabricLink::FabricLink(const Guest& guest, Cid peer_cid, api::FabricRing ring, Fd doorbell,
                       const Options& options, bool is_active)
    : guest_(guest),
      peer_cid_(peer_cid),
      ring_(std::move(ring)),
      doorbell_(std::move(doorbell)),
      options_(options),
      is_active_(is_active),
      budget_(options.buffer_budget, kShares) {}

Result<std::unique_ptr<FabricLink>> FabricLink::create(const Guest& guest, Cid peer_cid, api::FabricEnd end,
                                                       const Options& options, bool is_active) {
    auto ring = TRY(api::FabricRing::open(end.own_ring, end.peer_ring));
    std::unique_ptr<FabricLink> link(
        new FabricLink(guest, peer_cid, std::move(ring), std::move(end.doorbell), options, is_active));
    FabricLink* self = link.get();
    self->watch_ =
        TRY(guest.loop.watch(self->doorbell_.fd(), EPOLLIN, [self](uint32_t) { self->on_doorbell(); }));
    // What the peer sent before we came: its doorbell waits in the socket.
    return link;
}

FabricLink::~FabricLink() {
    guest_.loop.unwatch(watch_);
    guest_.loop.cancel(credit_timer_);
}

void FabricLink::activate() {
    is_active_ = true;
}

void FabricLink::reset() {
    is_active_ = false;
    if (incoming_) finish_incoming();
    std::vector<FabricStream*> unheard_of;
    for (auto& [key, stream] : streams_) {
        if (!stream.abandon()) unheard_of.push_back(&stream);
        line_up(stream);
    }
    for (auto* stream : unheard_of)
        remove(*stream);
    flush_output();
    discard_input();
}

// ---- streams

FabricStream* FabricLink::find(const FabricStreamKey& key) {
    const auto found = streams_.find(key);
    return found == streams_.end() ? nullptr : &found->second;
}

FabricStream& FabricLink::insert(const FabricStreamKey& key) {
    return streams_.try_emplace(key, key, budget_.lease()).first->second;
}

void FabricLink::remove(FabricStream& stream) {
    leave_line(stream);
    budget_.give_back(stream.window());
    streams_.erase(FabricStreamKey(stream.key()));
}

void FabricLink::line_up(FabricStream& stream) {
    if (!stream.place) stream.place = line_.insert(line_.end(), &stream);
}

void FabricLink::leave_line(FabricStream& stream) {
    if (stream.place) line_.erase(*std::exchange(stream.place, std::nullopt));
}

// Both ends are told.
void FabricLink::break_stream(FabricStream& stream) {
    ++counters_.resets;
    guest_.replies.end(make_header(Op::RST, peer_cid_, stream.key().peer, guest_.cid, stream.key().own));
    stream.end();
    line_up(stream);
}

// ---- from the guest

void FabricLink::receive(const Header& header, std::span<const memory::GuestSlice> payload) {
    const auto op = op_of(header);
    const FabricStreamKey key{.own = to_port(header.src_port), .peer = to_port(header.dst_port)};
    FabricStream* stream = find(key);
    if (stream == nullptr && op == Op::REQUEST) return open_for_guest(key, header);
    if (stream == nullptr || stream->is_ending()) {
        if (op != Op::RST) guest_.replies.answer_with_reset(header);
        return;
    }
    if (state_ != State::Joined) {
        // Nobody hears it any more. The guest is told of the end behind the peer's last words.
        if (op == Op::RST) remove(*stream);
        return;
    }
    stream->take_guest_credit(header);
    if (op == Op::RW)
        transmit(*stream, payload, header.len);
    else if (is_control(op) && op != Op::REQUEST)
        add_control(*stream, op, header.flags);
    else
        break_rule(*stream);
    flush_output();
}

void FabricLink::open_for_guest(const FabricStreamKey& key, const Header& request) {
    if (state_ != State::Joined || streams_.size() >= options_.max_streams)
        return guest_.replies.answer_with_reset(request);
    FabricStream& stream = insert(key);
    stream.take_guest_credit(request);
    add_control(stream, Op::REQUEST, 0);
    flush_output();
}

void FabricLink::add_control(FabricStream& stream, Op op, uint32_t flags) {
    stream.add_control(op, flags);
    if (stream.has_output()) line_up(stream);
}

void FabricLink::break_rule(FabricStream& stream) {
    ++counters_.violations;
    break_stream(stream);
}

void FabricLink::transmit(FabricStream& stream, std::span<const memory::GuestSlice> payload,
                          uint32_t length) {
    stream.count(length);
    if (!has_output() && has_room(length)) {
        const auto space = ring_.payload_space(length);
        virtio::copy_from(payload, 0, space[0]);
        virtio::copy_from(payload, space[0].size(), space[1]);
        counters_.bytes_to_peer += length;
        publish(stream.next_header(Op::RW, guest_.cid, peer_cid_), length);
    } else if (is_over()) {
        return;  // found out just now
    } else if (stream.add_data(payload, length)) {
        counters_.bytes_copied += length;
        line_up(stream);
    } else {
        return break_rule(stream);
    }
    if (stream.lacks_credit()) ask_for_credit(stream);
}

// ---- towards the peer

// False also when the peer's index is nonsense; then the link is over.
bool FabricLink::has_room(uint32_t payload_bytes) {
    const auto room = ring_.has_room(payload_bytes);
    if (!room) end_for(room.error());
    return room && *room;
}

void FabricLink::publish(Header header, uint32_t payload_bytes) {
    header.len = payload_bytes;
    if (ring_.send(object_bytes(header), payload_bytes)) ring_doorbell();
}

void FabricLink::ring_doorbell() {
    ++counters_.doorbells;
    doorbell_.ring();
}

// What waits, as far as there is room; the doorbell continues it.
void FabricLink::flush_output() {
    while (state_ == State::Joined && has_output()) {
        const uint32_t next =
            answers_.empty() ? static_cast<uint32_t>(line_.front()->output().data.size()) : 0;
        if (!has_room(next)) {
            if (is_over()) return;
            const auto waits = ring_.await_room();
            if (!waits) return end_for(waits.error());
            if (*waits || !has_room(next)) return;
        }
        flush_one();
    }
}

void FabricLink::flush_one() {
    if (!answers_.empty()) {
        publish(answers_.front(), 0);
        answers_.pop_front();
        return;
    }
    FabricStream& stream = *line_.front();
    const auto output = stream.output();
    const auto size = static_cast<uint32_t>(output.data.size());
    const auto space = ring_.payload_space(size);
    std::copy_n(output.data.begin(), space[0].size(), space[0].begin());
    std::copy_n(output.data.begin() + static_cast<ptrdiff_t>(space[0].size()), space[1].size(),
                space[1].begin());
    counters_.bytes_to_peer += size;
    auto header = stream.next_header(output.op, guest_.cid, peer_cid_);
    header.flags = output.flags;
    const bool is_last = output.op == Op::RST;
    publish(header, size);
    stream.sent(output);
    // To the end of the line, if it has still more.
    leave_line(stream);
    if (is_last)
        remove(stream);
    else if (stream.has_output())
        line_up(stream);
}

void FabricLink::ask_for_credit(FabricStream& stream) {
    if (stream.ask_for_credit()) line_up(stream);
    if (credit_timer_ == 0)
        credit_timer_ = guest_.loop.after(options_.credit_patience, [this] { on_credit_timer(); });
}

// Peers that had nothing to tell when they were asked are asked again.
void FabricLink::on_credit_timer() {
    credit_timer_ = 0;
    for (auto& [key, stream] : streams_) {
        if (stream.is_ending() || !stream.lacks_credit()) continue;
        stream.forget_asking();
        ask_for_credit(stream);
    }
    flush_output();
    guest_.on_packets();
}

// ---- from the peer

bool FabricLink::may_take() const {
    return !is_over() && !incoming_ && answers_.size() < kMaxAnswers && !ring_.is_empty();
}

// Up to the next packet for the guest; what is none is answered.
void FabricLink::take_records() {
    for (uint32_t count = 0; count < kRecordsPerTurn && may_take(); ++count) {
        const auto record = ring_.front();
        if (!record) return end_for(record.error());
        const auto header = checked(*record);
        if (!header) return end_for(header.error());
        if (is_for_guest(*header))
            incoming_ = Incoming{.record = *record, .header = *header};
        else
            drop(*record);
    }
    flush_output();
}

// The peer's VMM makes each header itself, so none of this is its guest's doing.
Result<Header> FabricLink::checked(const api::FabricRing::Record& record) const {
    auto header = *read_object<Header>(record.header);
    const auto op = op_of(header);
    const bool is_well_formed = header.type == type::STREAM && (op == Op::RW || is_control(op)) &&
                                header.len == record.payload_bytes && (op == Op::RW || header.len == 0);
    if (!is_well_formed) return fail(ErrorCode::InvalidMessage, "fabric: the peer has sent no packet");
    if (header.dst_cid != number(guest_.cid))
        return fail(ErrorCode::InvalidMessage, "fabric: the peer has sent a packet for another VM");
    header.src_cid = number(peer_cid_);
    header.flags = op == Op::SHUTDOWN ? header.flags & shutdown_flag::BOTH : 0;
    return header;
}

bool FabricLink::is_for_guest(const Header& header) {
    const auto op = op_of(header);
    const FabricStreamKey key{.own = to_port(header.dst_port), .peer = to_port(header.src_port)};
    FabricStream* stream = find(key);
    if (stream == nullptr) {
        const bool is_welcome =
            is_active_ && state_ == State::Joined && streams_.size() < options_.max_streams;
        if (op == Op::REQUEST && is_welcome) {
            insert(key);
            return true;
        }
        if (op != Op::RST && state_ == State::Joined) answers_.push_back(make_reset(header));
        return false;
    }
    if (stream->is_ending()) return false;
    if (op == Op::REQUEST) break_stream(*stream);
    return op != Op::REQUEST;
}

bool FabricLink::has_packets() const {
    return is_active_ && (incoming_ || may_take());
}

Result<bool> FabricLink::send(RxRing& ring) {
    take_records();
    const bool sent = incoming_ ? TRY(deliver(ring)) : true;
    flush_output();
    settle_input();
    return sent;
}

Result<bool> FabricLink::deliver(RxRing& ring) {
    auto& incoming = *incoming_;
    FabricStream* stream =
        find({.own = to_port(incoming.header.dst_port), .peer = to_port(incoming.header.src_port)});
    if (stream == nullptr || stream->is_ending()) {
        finish_incoming();  // the guest has ended it meanwhile
        return true;
    }
    stream->take_peer_credit(incoming.header);
    const uint32_t left = incoming.record.payload_bytes - incoming.done;
    if (left == 0) {
        const bool sent = TRY(ring.put(incoming.header));
        if (!sent) return false;
        if (op_of(incoming.header) == Op::RST) remove(*stream);
        finish_incoming();
        return true;
    }
    const uint32_t room = TRY(ring.reserve(left));
    if (room == 0) return false;
    const auto contents = ring_.payload(incoming.record, incoming.done, room);
    const auto& memory = ring.queue().memory();
    virtio::copy_to(memory, ring.payload(), 0, contents[0]);
    virtio::copy_to(memory, ring.payload(), contents[0].size(), contents[1]);
    TRY(ring.commit(incoming.header, room));
    watch_for_heartbeat(contents[0]);
    counters_.bytes_to_guest += room;
    stream->count_received(room);
    if (stream->has_output()) line_up(*stream);
    incoming.done += room;
    if (incoming.done == incoming.record.payload_bytes) finish_incoming();
    return true;
}

// Whoever carries the packets is the only one who can see it. What stands in the ring may be another byte by
// now; that is the peer's lie about nothing but this.
void FabricLink::watch_for_heartbeat(ByteView payload) {
    const bool is_heartbeat = to_port(incoming_->header.src_port) == kHeartbeatPort &&
                              incoming_->record.payload_bytes == 1 && payload.front() == kHeartbeatByte;
    if (is_heartbeat && !std::exchange(has_heartbeat_, true)) guest_.on_heartbeat();
}

void FabricLink::drop(const api::FabricRing::Record& record) {
    if (ring_.drop(record)) ring_doorbell();
}

void FabricLink::finish_incoming() {
    drop(incoming_->record);
    incoming_.reset();
}

// Without a driver nothing is for the guest.
void FabricLink::discard_input() {
    take_records();
    settle_input();
    if (!may_take() || std::exchange(discards_later_, true)) return;
    guest_.loop.post([this, alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        discards_later_ = false;
        if (!is_active_) discard_input();
    });
}

// Nothing of the peer's is left: from here on it rings.
void FabricLink::settle_input() {
    if (is_over() || incoming_ || !ring_.is_empty()) return;
    if (state_ == State::Leaving) return end();
    ring_.await_data();
}

// ---- the peer's end

void FabricLink::on_doorbell() {
    const bool is_there = doorbell_.silence();
    flush_output();
    if (!is_there) return leave();
    if (!is_active_) discard_input();
    guest_.on_packets();
}

void FabricLink::leave() {
    if (state_ != State::Joined) return;
    state_ = State::Leaving;
    guest_.loop.unwatch(std::exchange(watch_, 0));
    guest_.loop.cancel(std::exchange(credit_timer_, 0));
    answers_.clear();
    for (auto* stream : std::exchange(line_, {})) {
        stream->place.reset();
        if (stream->is_ending()) remove(*stream);
    }
    guest_.on_peer_gone(peer_cid_);
    if (is_active_)
        settle_input();
    else
        discard_input();
    guest_.on_packets();
}

void FabricLink::end_for(const Error& error) {
    log::warn("vsock: no fabric with context id {} any more: {}", number(peer_cid_), error.message());
    end();
}

void FabricLink::end() {
    if (is_over()) return;
    const bool was_joined = std::exchange(state_, State::Over) == State::Joined;
    guest_.loop.unwatch(std::exchange(watch_, 0));
    guest_.loop.cancel(std::exchange(credit_timer_, 0));
    answers_.clear();
    line_.clear();
    incoming_.reset();
    for (const auto& [key, stream] : std::exchange(streams_, {}))
        if (is_active_ && !stream.is_ending())
            guest_.replies.end(make_header(Op::RST, peer_cid_, key.peer, guest_.cid, key.own));
    if (was_joined) guest_.on_peer_gone(peer_cid_);
}

uint64_t FabricLink::buffered_bytes() const {
    uint64_t total = 0;
    for (const auto& [key, stream] : streams_)
        total += stream.waiting().capacity();
    return total;
}

}  // namespace alcove::vsock
