// SPDX-License-Identifier: Apache-2.0
//
// How a conversation begins, and begins again: two sessions joined by byte strings that the test may cut,
// mix with stale bytes, or lose.
#include "embedded/session.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace alcove::embedded {
namespace {

using State = Session::State;

// Discards what it gets and has nothing to say.
class QuietEndpoint : public StreamEndpoint {
  public:
    explicit QuietEndpoint(std::optional<ErrorCode>* reason = nullptr) : reason_(reason) {}
    Pulled pull(MutableByteView) override { return {.state = Pull::Later}; }
    void deliver(ByteView) override {}
    void peer_shutdown() override {}
    void closed(const Error* reason) override {
        if (reason_ != nullptr && reason != nullptr) *reason_ = reason->code();
    }

  private:
    std::optional<ErrorCode>* reason_;
};

std::unique_ptr<Session> make(Session::Role role) {
    return std::make_unique<Session>(
        role, Session::Callbacks{
                  .accept = [](StreamId, const std::string&) -> Result<std::unique_ptr<StreamEndpoint>> {
                      return std::make_unique<QuietEndpoint>();
                  },
                  .wake = [] {},
                  .changed = [](State) {}});
}

Bytes produced(Session& session) {
    Bytes out;
    session.produce(out, 4 * kMaxFrame);
    return out;
}

void give(Session& session, ByteView bytes, size_t portion = SIZE_MAX) {
    while (!bytes.empty()) {
        const auto space = session.space();
        const size_t count = std::min({space.size(), bytes.size(), portion});
        ASSERT_GT(count, 0u) << "a session always takes more bytes";
        std::copy_n(bytes.begin(), count, space.begin());
        session.received(count);
        bytes = bytes.subspan(count);
    }
}

void exchange(Session& outer, Session& inner) {
    for (int round = 0; round < 10; ++round) {
        if (outer.greet_wanted()) outer.greet();
        give(inner, produced(outer));
        give(outer, produced(inner));
    }
}

class SessionPair : public testing::Test {
  protected:
    void SetUp() override {
        outer_->restart();
        inner_->restart();
    }
    bool both_run() const { return outer_->state() == State::Running && inner_->state() == State::Running; }

    std::unique_ptr<Session> outer_ = make(Session::Role::Outer);
    std::unique_ptr<Session> inner_ = make(Session::Role::Inner);
};

TEST_F(SessionPair, TheyGreetAndRun) {
    exchange(*outer_, *inner_);
    EXPECT_TRUE(both_run());
}

TEST_F(SessionPair, TheyGreetThroughAWireOfSingleBytes) {
    for (int round = 0; round < 4; ++round) {
        give(*inner_, produced(*outer_), 1);
        give(*outer_, produced(*inner_), 1);
    }
    EXPECT_TRUE(both_run());
}

TEST_F(SessionPair, AnOuterEndThatDiedInTheMiddleOfAFrameIsFollowedByANewOne) {
    exchange(*outer_, *inner_);
    Bytes half;
    append_frame(half, FrameType::Open, 1, Bytes(kMaxTarget, 't'));
    half.resize(half.size() - 1000);
    give(*inner_, half);

    auto second = make(Session::Role::Outer);
    second->restart();
    exchange(*second, *inner_);

    EXPECT_EQ(second->state(), State::Running);
    EXPECT_EQ(inner_->state(), State::Running);
}

TEST_F(SessionPair, AnInnerEndThatWasRestartedIsGreetedAgainAndStreamsAreLost) {
    exchange(*outer_, *inner_);
    std::optional<ErrorCode> reason;
    ASSERT_TRUE(outer_->mux()
                    ->open("t", [&](StreamId) { return std::make_unique<QuietEndpoint>(&reason); })
                    .has_value());
    exchange(*outer_, *inner_);

    auto second = make(Session::Role::Inner);
    second->restart();
    exchange(*outer_, *second);

    EXPECT_EQ(reason, ErrorCode::ConnectionLost);
    EXPECT_EQ(outer_->state(), State::Running);
    EXPECT_EQ(second->state(), State::Running);
}

TEST_F(SessionPair, StaleBytesBeforeTheWelcomeAreSkipped) {
    const Bytes hello = produced(*outer_);
    Bytes stale;
    append_frame(stale, FrameType::Data, 3,
                 as_byte_view("\x7f"
                              "alcove-reply\r\n\x1a and more"));
    give(*outer_, stale);
    give(*inner_, hello);
    exchange(*outer_, *inner_);
    EXPECT_TRUE(both_run());
}

TEST_F(SessionPair, AWelcomeWithAnotherNonceDoesNotCount) {
    const Bytes first_hello = produced(*outer_);
    outer_->greet();  // a new nonce
    const Bytes second_hello = produced(*outer_);
    give(*inner_, first_hello);
    give(*outer_, produced(*inner_));
    EXPECT_EQ(outer_->state(), State::Greeting);
    EXPECT_EQ(inner_->state(), State::Proving);

    give(*inner_, second_hello);
    exchange(*outer_, *inner_);

    EXPECT_TRUE(both_run());
}

TEST_F(SessionPair, AForgedHelloInsideAStreamDoesNotMakeASession) {
    // A client's bytes hold a whole greeting; the inner end lost its place and finds it.
    HelloMessage forged;
    const Bytes real = produced(*outer_);
    std::copy_n(real.end() - sizeof(HelloMessage), sizeof(HelloMessage), reinterpret_cast<uint8_t*>(&forged));
    forged.outer_nonce = {};
    give(*inner_, object_bytes(forged));
    EXPECT_EQ(inner_->state(), State::Proving);

    Bytes more;
    append_frame(more, FrameType::Open, 1, as_byte_view("exec"));
    give(*inner_, Bytes(64, 'x'));
    give(*inner_, more);

    EXPECT_EQ(inner_->state(), State::Greeting);
    give(*inner_, real);
    exchange(*outer_, *inner_);
    EXPECT_TRUE(both_run());
}

TEST_F(SessionPair, AnotherVersionIsToldAndNotSpokenTo) {
    Bytes hello = produced(*outer_);
    auto* message = hello.data() + hello.size() - sizeof(HelloMessage);
    message[16] = 9;  // lowest_version
    message[18] = 9;  // highest_version
    give(*inner_, hello);
    give(*outer_, produced(*inner_));
    EXPECT_EQ(inner_->state(), State::Incompatible);
    EXPECT_EQ(outer_->state(), State::Incompatible);
    EXPECT_EQ(outer_->mux(), nullptr);
}

TEST_F(SessionPair, GarbageWhileRunningEndsTheSessionAndItRecovers) {
    exchange(*outer_, *inner_);
    ASSERT_TRUE(both_run());
    give(*outer_, as_byte_view("this is no frame at all"));
    EXPECT_EQ(outer_->state(), State::Greeting);
    EXPECT_TRUE(outer_->greet_wanted());

    exchange(*outer_, *inner_);

    EXPECT_TRUE(both_run());
}

TEST_F(SessionPair, AnEndlessStreamOfGarbageNeitherStopsNorGrowsAnything) {
    Bytes noise(256 * 1024);
    uint32_t state = 1;
    for (auto& byte : noise)
        byte = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
    give(*outer_, noise);
    give(*inner_, noise);
    exchange(*outer_, *inner_);
    EXPECT_TRUE(both_run());
}

}  // namespace
}  // namespace alcove::embedded
