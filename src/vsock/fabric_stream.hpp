// SPDX-License-Identifier: Apache-2.0
//
// One stream between a port of the guest and a port of a peer's guest. Both ends keep the stream's state; in
// between there is only what it takes to let the guest's transmit queue be drained at any time: while there
// is no room towards the peer, one pending bit for each kind of control packet, and the guest's bytes, at
// most a window of them.
//
// The window is why the guest's view of the peer's buffer is narrowed on its way to the guest. A peer that
// promises more than the window does not know of that, and may see no reason to say that it has room again:
// so it is asked.
//
// The other way, a guest may say that it has room again far more often than that is of use: Linux says so
// whenever a program has read all there is, so in a dialogue with every message. A packet of its own for that
// is an interrupt of the peer's guest. So it is held back while the peer may send half of what it was
// promised, and goes with whatever is sent next.
#pragma once

#include <list>
#include <optional>

#include "vsock/byte_queue.hpp"
#include "vsock/credit.hpp"
#include "vsock/packet.hpp"

namespace alcove::vsock {

struct FabricStreamKey {
    Port own;
    Port peer;
    bool operator==(const FabricStreamKey&) const = default;
};

class FabricStream {
  public:
    FabricStream(const FabricStreamKey& key, uint32_t window) : key_(key), window_(window) {}

    const FabricStreamKey& key() const { return key_; }
    uint32_t window() const { return window_; }
    const ByteQueue& waiting() const { return waiting_; }

    // ---- from the guest, on its way to the peer

    // Of any packet: the guest's credit goes with everything that is sent from now on.
    void take_guest_credit(const Header& header);
    void add_control(Op op, uint32_t flags);
    // False when the guest sends more than it may.
    [[nodiscard]] bool add_data(std::span<const memory::GuestSlice> payload, uint32_t length);
    // An RST is all that is left to say.
    void end();
    // The guest is gone. False when the peer never heard of this stream.
    [[nodiscard]] bool abandon();
    // Its RST waits: for the guest it is over.
    bool is_ending() const { return (pending_ & kReset) != 0; }

    struct Output {
        Op op;
        uint32_t flags;
        ByteView data;  // of RW
    };
    bool has_output() const { return pending_ != 0 || !waiting_.is_empty(); }
    Output output() const;  // what goes next; there is something
    void sent(const Output& output);
    // So many bytes of the guest's, sent or waiting.
    void count(uint32_t bytes) { credit_.send(bytes); }
    // The header of what is sent now: the peer is told of the guest's credit.
    Header next_header(Op op, Cid guest_cid, Cid peer_cid);

    // ---- from the peer, on its way to the guest

    // Of any packet. Narrows what the peer promises.
    void take_peer_credit(Header& header);
    // So many bytes of the peer's went to the guest. May give output: credit that was held back.
    void count_received(uint32_t bytes);
    // More than half of the window is under way to a peer that has a larger one in mind.
    bool lacks_credit() const { return is_narrowed_ && credit_.available() < window_ / 2; }
    // Whether the peer is to be asked now: once, until it told of progress.
    [[nodiscard]] bool ask_for_credit();
    void forget_asking() { has_asked_ = false; }

    // Its place in the link's line of those with output.
    using Line = std::list<FabricStream*>;
    std::optional<Line::iterator> place;

  private:
    enum Pending : uint32_t {
        kRequest = 1,
        kResponse = 2,
        kShutdown = 4,
        kCreditUpdate = 8,
        kCreditRequest = 16,
        kReset = 32,
    };

    bool peer_needs_credit() const;

    const FabricStreamKey key_;
    const uint32_t window_;
    uint32_t pending_ = 0;
    uint32_t shutdown_flags_ = 0;
    ByteQueue waiting_;
    uint32_t guest_buffer_ = 0;
    uint32_t guest_forwarded_ = 0;
    SendCredit credit_;  // as the guest sees it
    bool is_narrowed_ = false;
    bool has_asked_ = false;
    SendCredit told_;  // as the peer's guest sees it, of what it sends
    bool holds_credit_update_ = false;
    bool peer_asks_ = false;  // it has asked, and was told of no progress since
};

}  // namespace alcove::vsock
