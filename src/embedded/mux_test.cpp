// SPDX-License-Identifier: Apache-2.0
//
// Two muxes face to face, without a wire: what one produces the other receives, in portions the test
// chooses. Hostile frames are given to one alone.
#include "embedded/mux.hpp"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

namespace alcove::embedded {
namespace {

// What the test sees of one endpoint, and what it makes it do.
struct Peer {
    std::string to_send;
    size_t sent = 0;
    bool ends = false;  // after to_send
    bool consumes = true;
    std::string got;
    size_t unconsumed = 0;
    bool opened = false;
    bool ended = false;
    bool closed = false;
    std::optional<ErrorCode> reason;
    bool destroyed = false;
};

Peer sender(std::string text) {
    Peer peer;
    peer.to_send = std::move(text);
    peer.ends = true;
    return peer;
}

class FakeEndpoint : public StreamEndpoint {
  public:
    FakeEndpoint(Mux& mux, StreamId id, Peer& peer) : mux_(mux), id_(id), peer_(peer) {}
    ~FakeEndpoint() override { peer_.destroyed = true; }

    Pulled pull(MutableByteView into) override {
        if (peer_.sent == peer_.to_send.size()) return {.state = peer_.ends ? Pull::End : Pull::Later};
        const size_t count = std::min(into.size(), peer_.to_send.size() - peer_.sent);
        std::copy_n(peer_.to_send.begin() + static_cast<std::ptrdiff_t>(peer_.sent), count, into.begin());
        peer_.sent += count;
        return {.state = Pull::Data, .bytes = count};
    }
    void deliver(ByteView bytes) override {
        peer_.got += as_text(bytes);
        if (peer_.consumes) {
            mux_.consumed(id_, bytes.size());
        } else {
            peer_.unconsumed += bytes.size();
        }
    }
    void opened() override { peer_.opened = true; }
    void peer_shutdown() override { peer_.ended = true; }
    void closed(const Error* reason) override {
        EXPECT_FALSE(peer_.closed) << "closed once";
        peer_.closed = true;
        if (reason != nullptr) peer_.reason = reason->code();
    }

  private:
    Mux& mux_;
    StreamId id_;
    Peer& peer_;
};

class MuxPair : public testing::Test {
  protected:
    StreamId open(const std::string& target = "t") {
        const auto id = opener_.open(target, [this](StreamId stream) {
            return std::make_unique<FakeEndpoint>(opener_, stream, near_[stream]);
        });
        EXPECT_TRUE(id.has_value());
        return *id;
    }

    // Carries frames both ways until nothing is left to carry.
    void exchange() {
        bool moved = true;
        while (moved) {
            moved = carry(opener_, acceptor_, opener_reader_);
            moved |= carry(acceptor_, opener_, acceptor_reader_);
        }
    }

    bool carry(Mux& from, Mux& to, FrameReader& reader) {
        Bytes wire;
        from.produce(wire, kMaxFrame);
        bytes_carried_ += wire.size();
        for (size_t at = 0; at < wire.size();) {
            const auto space = reader.space();
            const size_t count = std::min(space.size(), wire.size() - at);
            std::copy_n(wire.begin() + static_cast<std::ptrdiff_t>(at), count, space.begin());
            reader.commit(count);
            at += count;
            for (auto frame = reader.next(); frame && frame->has_value(); frame = reader.next()) {
                const auto taken = to.receive(**frame);
                EXPECT_TRUE(taken.has_value()) << taken.error().to_string();
            }
        }
        return !wire.empty();
    }

    std::map<StreamId, Peer> near_;  // the opener's endpoints
    std::map<StreamId, Peer> far_;   // the acceptor's
    std::optional<ErrorCode> refuse_;
    std::vector<std::string> targets_;
    size_t bytes_carried_ = 0;
    FrameReader opener_reader_;
    FrameReader acceptor_reader_;
    Mux opener_{Mux::Role::Opener, nullptr, [] {}};
    Mux acceptor_{Mux::Role::Acceptor,
                  [this](StreamId id, const std::string& target) -> Result<std::unique_ptr<StreamEndpoint>> {
                      targets_.push_back(target);
                      if (refuse_) return fail(*refuse_, "no");
                      return std::make_unique<FakeEndpoint>(acceptor_, id, far_[id]);
                  },
                  [] {}};
};

TEST_F(MuxPair, BytesGoBothWaysAndAnOrderlyEndLeavesNothing) {
    const StreamId id = open("unix:/somewhere");
    near_[id] = sender("question");
    far_[id] = sender("answer");

    exchange();

    EXPECT_EQ(targets_, std::vector<std::string>{"unix:/somewhere"});
    EXPECT_TRUE(near_[id].opened);
    EXPECT_EQ(near_[id].got, "answer");
    EXPECT_EQ(far_[id].got, "question");
    EXPECT_TRUE(near_[id].closed && far_[id].closed);
    EXPECT_FALSE(near_[id].reason || far_[id].reason);
    EXPECT_EQ(opener_.stream_count() + acceptor_.stream_count(), 0u);
}

TEST_F(MuxPair, AHalfClosedStreamStillCarriesTheOtherDirection) {
    const StreamId id = open();
    near_[id] = sender("question");
    exchange();
    ASSERT_TRUE(far_[id].ended);
    EXPECT_FALSE(near_[id].closed);

    far_[id].to_send = std::string(3 * kWindow, 'x');
    far_[id].ends = true;
    acceptor_.sendable(id);
    exchange();

    EXPECT_EQ(near_[id].got.size(), 3 * kWindow);
    EXPECT_TRUE(near_[id].closed && far_[id].closed);
}

TEST_F(MuxPair, ARefusedStreamTellsTheOpenerWhy) {
    refuse_ = ErrorCode::NotFound;
    const StreamId id = open();
    near_[id].to_send = "early bytes";

    exchange();

    EXPECT_FALSE(near_[id].opened);
    EXPECT_EQ(near_[id].reason, ErrorCode::NotFound);
    EXPECT_EQ(opener_.stream_count() + acceptor_.stream_count(), 0u);
}

TEST_F(MuxPair, AReaderThatStopsHoldsUpOneWindowAndNobodyElse) {
    const StreamId slow = open();
    const StreamId quick = open();
    near_[slow].to_send = std::string(4 * kWindow, 's');
    near_[quick].to_send = std::string(4 * kWindow, 'q');
    far_[slow].consumes = false;

    exchange();

    EXPECT_EQ(far_[slow].got.size(), kWindow);
    EXPECT_EQ(far_[quick].got.size(), 4 * kWindow);

    far_[slow].consumes = true;
    acceptor_.consumed(slow, far_[slow].unconsumed);
    exchange();

    EXPECT_EQ(far_[slow].got.size(), 4 * kWindow);
}

TEST_F(MuxPair, StreamsTakeTurnsFrameByFrame) {
    const StreamId one = open();
    const StreamId two = open();
    exchange();
    near_[one].to_send = std::string(8 * kMaxPayload, '1');
    near_[two].to_send = std::string(8 * kMaxPayload, '2');
    opener_.sendable(one);
    opener_.sendable(two);

    Bytes wire;
    opener_.produce(wire, 4 * kMaxFrame);

    ASSERT_GE(wire.size(), 4 * kMaxFrame);
    std::vector<StreamId> order;
    for (size_t at = 0; at + kMaxFrame <= wire.size(); at += kMaxFrame)
        order.push_back(read_object<FrameHeader>(wire, at)->stream);
    EXPECT_EQ(order, (std::vector<StreamId>{one, two, one, two}));
}

TEST_F(MuxPair, AResetReachesTheOtherSideAndDestroysBothEndpoints) {
    const StreamId id = open();
    exchange();

    acceptor_.reset(id, Error(ErrorCode::Timeout, "too slow"));
    exchange();
    exchange();

    EXPECT_EQ(near_[id].reason, ErrorCode::Timeout);
    EXPECT_EQ(far_[id].reason, ErrorCode::Timeout);
    open();  // the next calls clear what was retired
    exchange();
    EXPECT_TRUE(near_[id].destroyed && far_[id].destroyed);
    EXPECT_EQ(acceptor_.stream_count(), 1u);
}

TEST_F(MuxPair, ResetsThatCrossEachOtherLeaveNothing) {
    const StreamId id = open();
    exchange();
    near_[id].to_send = "bytes under way";
    opener_.sendable(id);

    opener_.reset(id, Error(ErrorCode::Cancelled, "mine"));
    acceptor_.reset(id, Error(ErrorCode::Timeout, "yours"));
    exchange();

    EXPECT_EQ(near_[id].reason, ErrorCode::Cancelled);
    EXPECT_EQ(far_[id].reason, ErrorCode::Timeout);
    EXPECT_EQ(opener_.stream_count() + acceptor_.stream_count(), 0u);
}

TEST_F(MuxPair, TheNumberOfStreamsIsBoundedAndASlotComesBack) {
    std::vector<StreamId> ids;
    for (size_t i = 0; i < kMaxStreams; ++i)
        ids.push_back(open());
    exchange();

    const auto refused = opener_.open("t", [](StreamId) { return nullptr; });
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), ErrorCode::LimitExceeded);

    for (const StreamId id : ids)
        opener_.reset(id, Error(ErrorCode::Cancelled, "enough"));
    exchange();
    for (size_t i = 0; i < kMaxStreams; ++i)
        open();
    exchange();
    EXPECT_EQ(acceptor_.stream_count(), kMaxStreams);
}

TEST_F(MuxPair, DestructionTellsEveryEndpointThatTheConnectionIsLost) {
    Peer peer;
    {
        Mux mux(Mux::Role::Opener, nullptr, [] {});
        ASSERT_TRUE(mux.open("t", [&](StreamId id) { return std::make_unique<FakeEndpoint>(mux, id, peer); })
                        .has_value());
    }
    EXPECT_EQ(peer.reason, ErrorCode::ConnectionLost);
    EXPECT_TRUE(peer.destroyed);
}

// ---- hostile frames -------------------------------------------------------------------------------------

class HostileFrames : public MuxPair {
  protected:
    Result<void> give(Mux& mux, FrameType type, StreamId id, ByteView payload = {}) {
        return mux.receive(Frame{.type = type, .stream = id, .payload = payload});
    }
    static Bytes credit(uint32_t bytes) {
        const CreditPayload payload{.bytes = bytes};
        return to_bytes(object_bytes(payload));
    }
    static Bytes reset_payload(uint16_t code) {
        const ResetPayload payload{.code = code};
        return to_bytes(object_bytes(payload));
    }
};

TEST_F(HostileFrames, AStreamNumberUsedTwiceIsAFault) {
    ASSERT_TRUE(give(acceptor_, FrameType::Open, 5, as_byte_view("t")).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Open, 5, as_byte_view("t")).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Open, 4, as_byte_view("t")).has_value());
}

TEST_F(HostileFrames, TheAcceptingSideMayNotOpen) {
    EXPECT_FALSE(give(opener_, FrameType::Open, 1, as_byte_view("t")).has_value());
}

TEST_F(HostileFrames, MoreStreamsThanTheLimitAreAFault) {
    for (StreamId id = 1; id <= kMaxStreams; ++id)
        ASSERT_TRUE(give(acceptor_, FrameType::Open, id, as_byte_view("t")).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Open, kMaxStreams + 1, as_byte_view("t")).has_value());
}

TEST_F(HostileFrames, AFrameForAStreamThatNeverWasIsAFault) {
    EXPECT_FALSE(give(acceptor_, FrameType::Data, 1, as_byte_view("x")).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Shutdown, 0).has_value());
    EXPECT_FALSE(give(opener_, FrameType::Opened, 3).has_value());
}

TEST_F(HostileFrames, AFrameForAStreamThatIsGoneIsIgnored) {
    const StreamId id = open();
    exchange();
    opener_.reset(id, Error(ErrorCode::Cancelled, "gone"));
    exchange();
    EXPECT_TRUE(give(opener_, FrameType::Data, id, as_byte_view("late")).has_value());
    EXPECT_TRUE(give(opener_, FrameType::Reset, id, reset_payload(8)).has_value());
}

TEST_F(HostileFrames, DataBeyondTheWindowIsAFault) {
    ASSERT_TRUE(give(acceptor_, FrameType::Open, 1, as_byte_view("t")).has_value());
    far_[1].consumes = false;
    const Bytes chunk(kMaxPayload, 'x');
    size_t taken = 0;
    while (taken + chunk.size() <= kWindow) {
        ASSERT_TRUE(give(acceptor_, FrameType::Data, 1, chunk).has_value());
        taken += chunk.size();
    }
    EXPECT_FALSE(give(acceptor_, FrameType::Data, 1, chunk).has_value());
    EXPECT_LE(far_[1].got.size(), kWindow);
}

TEST_F(HostileFrames, CreditForNothingIsAFault) {
    const StreamId id = open();
    near_[id].to_send = "abc";
    exchange();
    EXPECT_FALSE(give(opener_, FrameType::Credit, id, credit(0)).has_value());
    EXPECT_FALSE(give(opener_, FrameType::Credit, id, credit(4)).has_value());
    EXPECT_FALSE(give(opener_, FrameType::Credit, id, credit(UINT32_MAX)).has_value());
    EXPECT_TRUE(give(opener_, FrameType::Credit, id, credit(3)).has_value());
}

TEST_F(HostileFrames, AStreamEndsOnceAndCarriesNothingAfterwards) {
    ASSERT_TRUE(give(acceptor_, FrameType::Open, 1, as_byte_view("t")).has_value());
    ASSERT_TRUE(give(acceptor_, FrameType::Shutdown, 1).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Shutdown, 1).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Data, 1, as_byte_view("x")).has_value());
}

TEST_F(HostileFrames, AStreamIsAcceptedOnceAndOnlyByTheAcceptingSide) {
    const StreamId id = open();
    EXPECT_FALSE(give(opener_, FrameType::Opened, id).has_value()) << "its Open has not even been sent";
    exchange();
    EXPECT_FALSE(give(opener_, FrameType::Opened, id).has_value());
    EXPECT_FALSE(give(acceptor_, FrameType::Opened, id).has_value());
}

TEST_F(HostileFrames, DataForAStreamThatWasNotAcceptedIsAFault) {
    const StreamId id = open();
    Bytes wire;
    opener_.produce(wire, kMaxFrame);
    EXPECT_FALSE(give(opener_, FrameType::Data, id, as_byte_view("x")).has_value());
}

}  // namespace
}  // namespace alcove::embedded
