// SPDX-License-Identifier: Apache-2.0
#include "vsock/fabric_stream.hpp"

#include <algorithm>
#include <utility>

namespace alcove::vsock {

void FabricStream::take_guest_credit(const Header& header) {
    guest_buffer_ = header.buf_alloc;
    guest_forwarded_ = header.fwd_cnt;
}

void FabricStream::add_control(Op op, uint32_t flags) {
    switch (op) {
        case Op::REQUEST:
            pending_ |= kRequest;
            return;
        case Op::RESPONSE:
            pending_ |= kResponse;
            return;
        case Op::SHUTDOWN:
            pending_ |= kShutdown;
            shutdown_flags_ |= flags & shutdown_flag::BOTH;
            return;
        case Op::CREDIT_UPDATE:
            if (peer_needs_credit())
                pending_ |= kCreditUpdate;
            else
                holds_credit_update_ = true;
            return;
        case Op::CREDIT_REQUEST:
            pending_ |= kCreditRequest;
            return;
        case Op::RST:
            pending_ |= kReset;  // behind what was sent before it
            return;
        case Op::RW:
        case Op::INVALID:
            break;
    }
    ALCOVE_CHECK(false, "this is no control packet");
}

bool FabricStream::add_data(std::span<const memory::GuestSlice> payload, uint32_t length) {
    if (length > window_ - std::min<uint64_t>(window_, waiting_.size())) return false;
    waiting_.append(payload);
    return true;
}

void FabricStream::end() {
    waiting_.clear();
    pending_ = kReset;
}

bool FabricStream::abandon() {
    const bool is_known = (pending_ & kRequest) == 0;
    end();
    return is_known;
}

FabricStream::Output FabricStream::output() const {
    const auto control = [](Op op, uint32_t flags = 0) {
        return Output{.op = op, .flags = flags, .data = {}};
    };
    if ((pending_ & kRequest) != 0) return control(Op::REQUEST);
    if ((pending_ & kResponse) != 0) return control(Op::RESPONSE);
    if (!waiting_.is_empty()) {
        const ByteView front = waiting_.front();
        return {.op = Op::RW, .flags = 0, .data = front.first(std::min<size_t>(front.size(), kMaxPayload))};
    }
    if ((pending_ & kShutdown) != 0) return control(Op::SHUTDOWN, shutdown_flags_);
    if ((pending_ & kCreditUpdate) != 0) return control(Op::CREDIT_UPDATE);
    if ((pending_ & kCreditRequest) != 0) return control(Op::CREDIT_REQUEST);
    return control(Op::RST);
}

void FabricStream::sent(const Output& output) {
    // Every packet carries the credit.
    pending_ &= ~uint32_t{kCreditUpdate};
    switch (output.op) {
        case Op::REQUEST:
            pending_ &= ~uint32_t{kRequest};
            return;
        case Op::RESPONSE:
            pending_ &= ~uint32_t{kResponse};
            return;
        case Op::RW:
            return waiting_.drop(output.data.size());
        case Op::SHUTDOWN:
            pending_ &= ~uint32_t{kShutdown};
            return;
        case Op::CREDIT_REQUEST:
            pending_ &= ~uint32_t{kCreditRequest};
            return;
        case Op::RST:
            pending_ = 0;
            return;
        case Op::CREDIT_UPDATE:
        case Op::INVALID:
            return;
    }
}

Header FabricStream::next_header(Op op, Cid guest_cid, Cid peer_cid) {
    auto result = make_header(op, guest_cid, key_.own, peer_cid, key_.peer);
    result.buf_alloc = guest_buffer_;
    result.fwd_cnt = guest_forwarded_;
    const uint32_t before = told_.available();
    told_.take_from(result);
    if (told_.available() > before) peer_asks_ = false;
    holds_credit_update_ = false;
    return result;
}

// One that asks may have been promised less on its side of the fabric.
bool FabricStream::peer_needs_credit() const {
    return peer_asks_ || told_.available() <= told_.buffer() / 2;
}

void FabricStream::count_received(uint32_t bytes) {
    told_.send(bytes);
    if (holds_credit_update_ && peer_needs_credit()) pending_ |= kCreditUpdate;
}

void FabricStream::take_peer_credit(Header& header) {
    if (op_of(header) == Op::CREDIT_REQUEST) peer_asks_ = true;
    is_narrowed_ = header.buf_alloc > window_;
    header.buf_alloc = std::min<uint32_t>(header.buf_alloc, window_);
    const uint32_t before = credit_.available();
    credit_.take_from(header);
    if (credit_.available() > before) has_asked_ = false;
}

bool FabricStream::ask_for_credit() {
    if (std::exchange(has_asked_, true)) return false;
    pending_ |= kCreditRequest;
    return true;
}

}  // namespace alcove::vsock
