// SPDX-License-Identifier: Apache-2.0
#include "vsock/connection.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "memory/guest_io.hpp"
#include "support/system.hpp"
#include "vsock/packet.hpp"

namespace alcove::vsock {

namespace {
constexpr uint32_t kSmallestRead = 8 * 1024;
constexpr uint32_t kLargestRead = 256 * 1024;
}  // namespace

Connection::Connection(ConnectionContext& context, const ConnectionKey& key, uint32_t window,
                       const Header& request)
    : context_(context), key_(key), state_(State::Opening), receive_credit_(window) {
    send_credit_.take_from(request);
    wait_at_most(context_.patience.handshake);
}

Connection::Connection(ConnectionContext& context, const ConnectionKey& key, uint32_t window, Fd socket)
    : context_(context),
      key_(key),
      state_(State::Requesting),
      socket_(std::move(socket)),
      receive_credit_(window),
      pending_(kRequest),
      // An edge that came before the watch is not seen again.
      readable_(true) {
    wait_at_most(context_.patience.handshake);
}

void Connection::enter(State state) {
    state_ = state;
    deadline_.reset();
}

Header Connection::header(Op op) const {
    Header result = make_header(op, key_.host_cid, key_.host_port, context_.guest_cid, key_.guest_port);
    receive_credit_.put_into(result);
    return result;
}

// Every packet carries our credit, so one that is due has been told with it.
void Connection::sent_header() {
    receive_credit_.told();
    pending_ &= ~uint32_t{kCreditUpdate};
}

// ---- what happens on the host's side

void Connection::opened(Fd socket) {
    if (state_ != State::Opening) return;
    socket_ = std::move(socket);
    readable_ = true;
    pending_ |= kResponse;
    enter(State::Open);
}

void Connection::refused() {
    if (state_ == State::Opening) reset(false);
}

void Connection::on_socket(uint32_t events) {
    if (!socket_.is_open()) return;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
    if ((events & EPOLLHUP) != 0) hung_up_ = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) write_waiting();
    if (!hung_up_) return;
    // A program that leaves before the guest answered does not want the answer. Otherwise what it wrote
    // before it left still counts, and send_data() finds the end behind it.
    if (state_ == State::Requesting) reset(false);
    if (host_ended_) host_lost();
}

void Connection::on_deadline() {
    deadline_.reset();
    switch (state_) {
        case State::Opening:
        case State::Requesting:
        case State::Closing:
            reset(false);
            return;
        case State::Open:
            // Waiting for credit. It is asked for once; data that arrives for the guest asks again.
            pending_ |= kCreditRequest;
            return;
        case State::Resetting:
        case State::Gone:
            finish_host_side(false);
            return;
    }
}

void Connection::close_socket() {
    socket_.reset();
    socket_done_ = false;
}

void Connection::host_lost() {
    host_refuses_ = true;
    context_.counters.bytes_dropped += to_host_.size();
    forwarded(to_host_.size());
    to_host_.clear();
    if (state_ != State::Open) socket_done_ = true;
}

void Connection::end_of_host_data() {
    host_ended_ = true;
    if (hung_up_) host_lost();
}

// Bytes left our hands: the guest may send as many again.
void Connection::forwarded(uint64_t bytes) {
    receive_credit_.forward(static_cast<uint32_t>(bytes));
    if (state_ == State::Open && receive_credit_.should_tell()) pending_ |= kCreditUpdate;
}

void Connection::write_waiting() {
    while (!to_host_.is_empty()) {
        const auto transfer = sys::write_some(socket_, to_host_.front());
        if (!transfer) {
            host_lost();
            return;
        }
        if (transfer->would_block) return;
        context_.counters.bytes_to_host += transfer->bytes;
        to_host_.drop(transfer->bytes);
        forwarded(transfer->bytes);
        if (state_ != State::Open) wait_at_most(context_.patience.drain);
    }
    if (state_ == State::Resetting || state_ == State::Gone)
        socket_done_ = true;
    else if ((guest_shutdown_ & shutdown_flag::SEND) != 0 && !std::exchange(output_ended_, true))
        // Once: each call is an event for us too. It fails only when the other end is gone.
        ::shutdown(socket_.get(), SHUT_WR);
}

// ---- what the guest sends

void Connection::receive(const Header& packet, std::span<const memory::GuestSlice> payload) {
    const auto op = op_of(packet);
    if (op == Op::RST) {
        // After a regular end this only closes the guest's books; otherwise it takes everything back.
        const bool was_ended = (guest_shutdown_ & shutdown_flag::SEND) != 0;
        pending_ = 0;
        enter(State::Gone);
        finish_host_side(was_ended);
        return;
    }
    if (state_ == State::Resetting) return;

    send_credit_.take_from(packet);
    if (state_ == State::Open && send_credit_.available() > 0) deadline_.reset();
    switch (op) {
        case Op::RESPONSE:
            return state_ == State::Requesting ? receive_response() : violation();
        case Op::SHUTDOWN:
            return receive_shutdown(packet.flags & shutdown_flag::BOTH);
        case Op::RW:
            return receive_data(payload, packet.len);
        case Op::CREDIT_UPDATE:
            return;
        case Op::CREDIT_REQUEST:
            if (state_ == State::Open) pending_ |= kCreditUpdate;
            return;
        case Op::REQUEST:  // for a connection that is there
        case Op::INVALID:
        case Op::RST:
            break;
    }
    violation();
}

void Connection::receive_response() {
    enter(State::Open);
    const std::string answer = "OK " + std::to_string(number(key_.host_port)) + "\n";
    const auto transfer = sys::write_some(socket_, as_byte_view(answer));
    // The first few bytes on a socket always fit; a program that is gone is found by epoll.
    if (!transfer || transfer->bytes != answer.size()) host_lost();
}

void Connection::receive_shutdown(uint32_t flags) {
    if (state_ == State::Opening || state_ == State::Requesting) return violation();
    flags &= ~std::exchange(guest_shutdown_, guest_shutdown_ | flags);
    if (state_ == State::Closing || guest_shutdown_ == shutdown_flag::BOTH) return reset(true);
    if ((flags & shutdown_flag::RCV) != 0) ::shutdown(socket_.get(), SHUT_RD);
    if ((flags & shutdown_flag::SEND) != 0) write_waiting();
}

void Connection::receive_data(std::span<const memory::GuestSlice> payload, uint32_t length) {
    if (state_ == State::Closing) {
        context_.counters.bytes_dropped += length;  // on its way when we said SHUTDOWN
        return;
    }
    const bool is_allowed = state_ == State::Open && (guest_shutdown_ & shutdown_flag::SEND) == 0;
    if (!is_allowed || !receive_credit_.receive(length)) return violation();
    if (host_refuses_) {
        context_.counters.bytes_dropped += length;
        return forwarded(length);
    }

    std::vector<memory::GuestSlice> rest(payload.begin(), payload.end());
    uint32_t left = length;
    while (to_host_.is_empty() && left > 0) {
        const auto transfer = memory::send_from(socket_, rest);
        if (!transfer) {
            context_.counters.bytes_dropped += left;
            forwarded(left);
            return host_lost();
        }
        if (transfer->would_block) break;
        const auto count = static_cast<uint32_t>(transfer->bytes);
        context_.counters.bytes_to_host += count;
        forwarded(count);
        left -= count;
        rest.clear();
        virtio::append_part(payload, length - left, left, rest);
    }
    if (left == 0) return;
    to_host_.append(rest);
    context_.counters.bytes_copied += left;
}

// ---- ends

void Connection::violation() {
    ++context_.counters.violations;
    reset(false);
}

// The guest gets an RST. What it sent before is still delivered when it ended regularly.
void Connection::reset(bool keep_host_data) {
    pending_ = kReset;
    enter(State::Resetting);
    finish_host_side(keep_host_data);
}

void Connection::finish_host_side(bool keep_host_data) {
    if (!socket_.is_open()) return;
    if (keep_host_data && !to_host_.is_empty() && !host_refuses_) {
        wait_at_most(context_.patience.drain);
        return;
    }
    context_.counters.bytes_dropped += to_host_.size();
    to_host_.clear();
    socket_done_ = true;
}

// ---- what the guest gets

uint32_t Connection::shutdown_due() const {
    if (state_ != State::Open) return 0;
    return ((host_ended_ ? shutdown_flag::SEND : 0) | (host_refuses_ ? shutdown_flag::RCV : 0)) &
           ~sent_shutdown_;
}

bool Connection::has_control() const {
    return pending_ != 0 || shutdown_due() != 0;
}

bool Connection::has_data() const {
    return state_ == State::Open && readable_ && !host_ended_ && (pending_ & kResponse) == 0 &&
           (guest_shutdown_ & shutdown_flag::RCV) == 0 && send_credit_.available() > 0;
}

Result<bool> Connection::send_control(RxRing& ring) {
    // One bit a call, the most important first.
    Op op = Op::SHUTDOWN;
    uint32_t bit = 0;
    const std::pair<Pending, Op> order[] = {{kReset, Op::RST},
                                            {kRequest, Op::REQUEST},
                                            {kResponse, Op::RESPONSE},
                                            {kCreditRequest, Op::CREDIT_REQUEST},
                                            {kCreditUpdate, Op::CREDIT_UPDATE}};
    for (const auto& [candidate, its_op] : order) {
        if ((pending_ & candidate) == 0) continue;
        bit = candidate;
        op = its_op;
        break;
    }
    auto packet = header(op);
    const uint32_t shutdown = sent_shutdown_ | shutdown_due();
    if (bit == 0) packet.flags = shutdown;
    const bool sent = TRY(ring.put(packet));
    if (!sent) return false;

    pending_ &= ~bit;
    sent_header();
    switch (op) {
        case Op::RST:
            ++context_.counters.resets_sent;
            // A deadline for draining the host's side stays.
            state_ = State::Gone;
            break;
        case Op::CREDIT_UPDATE:
            ++context_.counters.credit_updates_sent;
            break;
        case Op::SHUTDOWN:
            sent_shutdown_ = shutdown;
            if (shutdown != shutdown_flag::BOTH) break;
            enter(State::Closing);
            wait_at_most(context_.patience.close);
            socket_done_ = true;
            break;
        default:
            break;
    }
    return true;
}

Result<bool> Connection::send_data(RxRing& ring, uint32_t limit) {
    uint32_t moved = 0;
    bool is_probably_empty = false;
    while (has_data() && moved < limit) {
        const uint32_t size = is_probably_empty ? kSmallestRead : read_size_;
        const uint32_t room = TRY(ring.reserve(std::min({limit - moved, send_credit_.available(), size})));
        if (room == 0) return false;
        const auto transfer = memory::read_into(socket_, ring.payload());
        const uint32_t count = transfer ? static_cast<uint32_t>(transfer->bytes) : 0;
        TRY(ring.commit(header(Op::RW), count));
        if (count == 0) {
            readable_ = false;
            if (transfer && transfer->would_block) break;
            if (!transfer) hung_up_ = true;
            end_of_host_data();
            break;
        }
        sent_header();
        send_credit_.send(count);
        context_.counters.bytes_to_guest += count;
        moved += count;
        if (is_probably_empty) continue;
        // Twice as much next time while the socket has all that is asked for. Each reservation costs the
        // parsing of its buffers, so a small one makes sure that the socket is empty.
        is_probably_empty = count < room;
        if (count == size)
            read_size_ = std::min(2 * read_size_, kLargestRead);
        else if (count < size / 4)
            read_size_ = std::max(read_size_ / 2, kSmallestRead);
    }
    if (state_ == State::Open && readable_ && !host_ended_ && send_credit_.available() == 0 && !deadline_)
        wait_at_most(context_.patience.credit);
    return true;
}

}  // namespace alcove::vsock
