// SPDX-License-Identifier: Apache-2.0
//
// One peer of the guest's in its fabric: the VM at the other end of a pair of rings (api/fabric_ring.hpp).
//
//     guest's transmit queue ──► straight into our ring ──► peer
//                         └──► streams' windows ──► (room) ──┘     only while the ring is full
//     guest's receive queue ◄── straight out of the peer's ring ◄── peer
//
// What the guest sends is always taken, whether the peer takes anything or not (device.hpp says why); it
// waits in its stream, and all of that is bounded. What the peer sends stays in its ring until the guest has
// buffers, so the peer waits instead. A record that the peer's VMM could not have made in good faith ends the
// link and nothing else.
//
//     Joined ── peer gone, or FabricLeave ──► Leaving ── its last records delivered ──► Over
//        └───────────────────────────── nonsense in its ring ──────────────────────────►
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "api/fabric_doorbell.hpp"
#include "api/fabric_ring.hpp"
#include "support/event_loop.hpp"
#include "vsock/fabric_stream.hpp"
#include "vsock/guest_replies.hpp"
#include "vsock/rx_ring.hpp"

namespace alcove::vsock {

class FabricLink {
  public:
    struct Options {
        size_t max_streams = 1024;
        // Bytes of the guest's that may wait for this peer; 8 KiB a stream more when all are used.
        uint64_t buffer_budget = 16 * 1024 * 1024;
        std::chrono::milliseconds credit_patience{100};  // before a peer is asked for credit again
    };
    // How many records without payload for the guest are worked off in one turn.
    static constexpr uint32_t kRecordsPerTurn = 64;
    // Replies of ours to the peer that may wait; with so many, none of its packets is taken.
    static constexpr size_t kMaxAnswers = 256;

    // What the guest's side has in common for all its links. All borrowed.
    struct Guest {
        EventLoop& loop;
        Cid cid;
        GuestReplies& replies;
        std::function<void()> on_packets;       // has_packets() may have become true
        std::function<void(Cid)> on_peer_gone;  // once, when it leaves or is found to be gone
        std::function<void()> on_heartbeat;     // at most once: the peer has answered the guest's
    };
    static Result<std::unique_ptr<FabricLink>> create(const Guest& guest, Cid peer_cid, api::FabricEnd end,
                                                      const Options& options, bool is_active);
    ~FabricLink();
    FabricLink(const FabricLink&) = delete;
    FabricLink& operator=(const FabricLink&) = delete;

    // As vsock::Backend's.
    void activate();
    void reset();
    void receive(const Header& header, std::span<const memory::GuestSlice> payload);
    bool has_packets() const;
    Result<bool> send(RxRing& ring);

    // The peer is no more; what it sent before still counts.
    void leave();
    // At once, whatever is on its way.
    void end();
    bool is_over() const { return state_ == State::Over; }

    struct Counters {
        uint64_t bytes_to_peer = 0;
        uint64_t bytes_to_guest = 0;
        uint64_t bytes_copied = 0;  // of those to the peer: had to wait in our memory
        uint64_t doorbells = 0;     // rung
        uint64_t resets = 0;        // of streams, by us
        uint64_t violations = 0;    // packets of the guest's against the rules
    };
    const Counters& counters() const { return counters_; }
    size_t stream_count() const { return streams_.size(); }
    uint64_t buffered_bytes() const;  // memory held for the peer

  private:
    enum class State { Joined, Leaving, Over };
    struct KeyHash {
        size_t operator()(const FabricStreamKey& key) const {
            return std::hash<uint64_t>()(((uint64_t{number(key.own)} << 32) | number(key.peer)) *
                                         0x9e3779b97f4a7c15ULL);
        }
    };
    // A packet of the peer's that is on its way to the guest.
    struct Incoming {
        api::FabricRing::Record record;
        Header header;
        uint32_t done = 0;  // payload bytes that the guest has
    };

    FabricLink(const Guest& guest, Cid peer_cid, api::FabricRing ring, Fd doorbell, const Options& options,
               bool is_active);

    FabricStream* find(const FabricStreamKey& key);
    FabricStream& insert(const FabricStreamKey& key);
    void remove(FabricStream& stream);
    void line_up(FabricStream& stream);
    void leave_line(FabricStream& stream);
    void break_stream(FabricStream& stream);
    void break_rule(FabricStream& stream);

    void open_for_guest(const FabricStreamKey& key, const Header& request);
    void add_control(FabricStream& stream, Op op, uint32_t flags);
    void transmit(FabricStream& stream, std::span<const memory::GuestSlice> payload, uint32_t length);

    bool has_output() const { return !answers_.empty() || !line_.empty(); }
    bool has_room(uint32_t payload_bytes);
    void publish(Header header, uint32_t payload_bytes);
    void ring_doorbell();
    void flush_output();
    void flush_one();
    void ask_for_credit(FabricStream& stream);
    void on_credit_timer();

    bool may_take() const;
    void take_records();
    Result<Header> checked(const api::FabricRing::Record& record) const;
    bool is_for_guest(const Header& header);
    Result<bool> deliver(RxRing& ring);
    void drop(const api::FabricRing::Record& record);
    void watch_for_heartbeat(ByteView payload);
    void finish_incoming();
    void discard_input();
    void settle_input();

    void on_doorbell();
    void end_for(const Error& error);

    Guest guest_;
    const Cid peer_cid_;
    api::FabricRing ring_;
    api::FabricDoorbell doorbell_;
    const Options options_;
    State state_ = State::Joined;
    bool is_active_;  // the guest's driver is there
    EventLoop::WatchId watch_ = 0;
    EventLoop::TimerId credit_timer_ = 0;

    WindowBudget budget_;
    std::unordered_map<FabricStreamKey, FabricStream, KeyHash> streams_;
    FabricStream::Line line_;     // those that wait for room
    std::deque<Header> answers_;  // RST to the peer, for packets of no stream
    std::optional<Incoming> incoming_;
    bool discards_later_ = false;
    bool has_heartbeat_ = false;
    Counters counters_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::vsock
