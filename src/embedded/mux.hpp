// SPDX-License-Identifier: Apache-2.0
//
// Many byte streams over one connection, without I/O. One side opens streams, the other accepts or refuses
// them; after that both are equal. Each direction of a stream has a window: a sender never has more than
// kWindow bytes under way that the other side's application has not taken, so a reader that stops costs
// kWindow bytes of memory and delays nobody else. Sending is a pull: when the wire has room, streams that
// are ready take turns, one frame each, and their bytes are read straight into the outgoing buffer.
//
//     opener:    Opening --Opened--> Open                    acceptor:  Open from the start
//     Open --Shutdown sent, all credited; Shutdown received, all consumed--> gone
//     any  --Reset sent or received--> gone
//
// Credit is also the acknowledgement of the end: a stream is gone on a side only when everything it sent
// came back as credit and everything it got was consumed. Both sides therefore agree on how many streams
// there are at each point of the byte stream, and an Open beyond kMaxStreams is a fault, not a race.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "embedded/frame.hpp"

namespace alcove::embedded {

inline constexpr uint32_t kWindow = 1024 * 1024;
inline constexpr size_t kMaxStreams = 256;

// The local side of one stream. Called by Mux only; may call Mux, also to reset itself: it is destroyed
// later, outside any of its own calls.
class StreamEndpoint {
  public:
    enum class Pull { Data, Later, End };
    struct Pulled {
        Pull state;
        size_t bytes = 0;  // with Data: 1..into.size()
    };

    StreamEndpoint() = default;
    StreamEndpoint(const StreamEndpoint&) = delete;
    StreamEndpoint& operator=(const StreamEndpoint&) = delete;
    virtual ~StreamEndpoint() = default;

    // Bytes to send. After Later, Mux asks again when sendable() was called; after End, never.
    virtual Pulled pull(MutableByteView into) = 0;
    // Bytes that came. The endpoint takes all of them (together at most kWindow that it has not reported by
    // Mux::consumed()).
    virtual void deliver(ByteView bytes) = 0;
    virtual void opened() {}  // the other side accepted
    virtual void peer_shutdown() = 0;
    virtual void closed(const Error* reason) = 0;  // null: both sides ended in order
};

class Mux {
  public:
    enum class Role { Opener, Acceptor };
    using Accept =
        std::function<Result<std::unique_ptr<StreamEndpoint>>(StreamId, const std::string& target)>;

    // `wake` is called when there may be something to produce() that was not there before. It is called from
    // inside endpoints' calls, so it must not call Mux itself, only see to it that produce() is called soon.
    Mux(Role role, Accept accept, std::function<void()> wake)
        : role_(role), accept_(std::move(accept)), wake_(std::move(wake)) {}
    ~Mux();
    Mux(const Mux&) = delete;
    Mux& operator=(const Mux&) = delete;

    // The wire. An Error from receive() is a fault of the other side: the session is over.
    Result<void> receive(const Frame& frame);
    // Appends whole frames while `out` is shorter than `limit`; what it appends never exceeds one frame more.
    void produce(Bytes& out, size_t limit);
    bool has_output() const { return !control_.empty() || !ready_.empty(); }

    // Local side. The endpoint learns its number before anything is called on it, by `make`.
    Result<StreamId> open(const std::string& target,
                          const std::function<std::unique_ptr<StreamEndpoint>(StreamId)>& make);
    void sendable(StreamId id);
    void consumed(StreamId id, size_t bytes);
    void reset(StreamId id, Error reason);

    size_t stream_count() const { return streams_.size(); }

  private:
    struct Stream {
        std::unique_ptr<StreamEndpoint> endpoint;  // null once reset locally
        std::string target;                        // opener, until Open is sent
        bool announce = false;                     // Open or Opened is still to be sent
        bool established = false;
        bool in_control = false;
        bool in_ready = false;
        bool send_ended = false;
        bool shutdown_sent = false;
        bool peer_shutdown = false;
        std::unique_ptr<Error> reset;  // a Reset is to be sent
        uint32_t credit = kWindow;     // bytes that may be sent now
        uint32_t unacknowledged = 0;   // sent, not yet credited
        uint32_t allowance = kWindow;  // bytes the other side may send now
        uint32_t held = 0;             // delivered, not yet consumed
        uint32_t owed = 0;             // consumed, not yet credited
    };
    using Streams = std::unordered_map<StreamId, Stream>;

    Result<void> accept_stream(const Frame& frame);
    Result<void> take_credit(Streams::iterator at, ByteView payload);
    Result<void> take_data(Streams::iterator at, ByteView payload);
    void take_reset(Streams::iterator at, ByteView payload);
    void queue_control(StreamId id, Stream& stream);
    void queue_ready(StreamId id, Stream& stream);
    void produce_control(StreamId id, Bytes& out);
    void produce_data(StreamId id, Bytes& out);
    bool credit_due(const Stream& stream) const;
    void retire(Streams::iterator at, const Error* reason);
    void retire_if_finished(StreamId id);

    Role role_;
    Accept accept_;
    std::function<void()> wake_;
    Streams streams_;
    StreamId last_id_ = 0;
    std::deque<StreamId> control_;  // streams with a control frame to send
    std::deque<StreamId> ready_;    // streams that may have data and have credit
    // Endpoints of streams that are gone. They may be in the middle of a call, so they die in the next
    // receive() or produce(), which is never called from an endpoint.
    std::vector<std::unique_ptr<StreamEndpoint>> retired_;
};

}  // namespace alcove::embedded
