// SPDX-License-Identifier: Apache-2.0
#include "virtio/stream_link.hpp"

#include <thread>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::virtio {
namespace {

struct FakeUser : NetworkLink::User {
    void frames_waiting() override {
        while (const auto length = link->receive(buffer))
            frames.emplace_back(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(*length));
    }
    void room_again() override { ++rooms; }
    void link_changed() override { ++changes; }

    NetworkLink* link = nullptr;
    Bytes buffer = Bytes(NetworkLink::kMaxFrame);
    std::vector<Bytes> frames;
    int rooms = 0;
    int changes = 0;
};

class StreamLinkTest : public testing::Test {
  protected:
    StreamLinkTest() {
        auto pair = sys::socket_pair(SOCK_STREAM).value();
        link_ = StreamLink::create(*loop_, std::move(pair.first)).value();
        far_ = std::move(pair.second);
        user_.link = link_.get();
        link_->set_user(&user_);
        link_->want_frames(true);
    }
    void run() {
        while (loop_->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
    }
    static Bytes framed(const Bytes& frame) {
        const Be32 length = static_cast<uint32_t>(frame.size());
        Bytes bytes = to_bytes(object_bytes(length));
        bytes.insert(bytes.end(), frame.begin(), frame.end());
        return bytes;
    }

    std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
    FakeUser user_;
    std::unique_ptr<StreamLink> link_;
    Fd far_;
};

TEST_F(StreamLinkTest, FramesFollowTheirLength) {
    EXPECT_TRUE(link_->send(Bytes(60, 7)));
    Bytes bytes(64);
    ASSERT_TRUE(sys::read_exact(far_, bytes));
    EXPECT_EQ(bytes, framed(Bytes(60, 7)));
}

TEST_F(StreamLinkTest, FramesArriveHoweverTheStreamIsCut) {
    const Bytes first = framed(Bytes(60, 1));
    const Bytes second = framed(Bytes(NetworkLink::kMaxFrame, 2));
    Bytes stream = first;
    stream.insert(stream.end(), second.begin(), second.end());
    stream.insert(stream.end(), first.begin(), first.end());
    for (size_t done = 0; done < stream.size();) {
        const size_t part = std::min<size_t>(done < 200 ? 1 : 7001, stream.size() - done);
        ASSERT_TRUE(sys::write_all(far_, ByteView(stream).subspan(done, part)));
        done += part;
        run();
    }

    ASSERT_EQ(user_.frames.size(), 3U);
    EXPECT_EQ(user_.frames[0], Bytes(60, 1));
    EXPECT_EQ(user_.frames[1], Bytes(NetworkLink::kMaxFrame, 2));
    EXPECT_EQ(user_.frames[2], Bytes(60, 1));
}

TEST_F(StreamLinkTest, AFrameThatHasBegunIsFinishedBeforeTheNext) {
    int sent = 0;
    while (link_->send(Bytes(9000, static_cast<uint8_t>(sent))))
        ++sent;
    ASSERT_GT(sent, 1);
    Bytes bytes(9004);
    for (int i = 0; i < sent; ++i) {
        ASSERT_TRUE(sys::set_non_blocking(far_, true));
        size_t got = 0;
        while (got < bytes.size()) {
            const auto part = sys::read_some(far_, MutableByteView(bytes).subspan(got)).value();
            got += part.bytes;
            run();
        }
        EXPECT_EQ(bytes, framed(Bytes(9000, static_cast<uint8_t>(i))));
    }
    EXPECT_EQ(user_.rooms, 1);
    EXPECT_TRUE(link_->send(Bytes(60)));
}

TEST_F(StreamLinkTest, TheEndOfTheOtherSideTakesTheLinkDown) {
    ASSERT_TRUE(sys::write_all(far_, framed(Bytes(60, 1))));
    far_.reset();
    run();

    EXPECT_EQ(user_.frames.size(), 1U) << "what came before";
    EXPECT_EQ(user_.changes, 1);
    EXPECT_FALSE(link_->is_up());
    EXPECT_TRUE(link_->send(Bytes(60))) << "lost";
}

TEST_F(StreamLinkTest, ItGoesDownAlsoWhileNoFramesAreWanted) {
    link_->want_frames(false);
    far_.reset();
    run();

    EXPECT_FALSE(link_->is_up());
    EXPECT_EQ(user_.changes, 1);
}

// What another process, which goes on with the socket, finds there.
class StreamLinkHandedOn : public StreamLinkTest {
  protected:
    StreamLinkHandedOn() {
        auto pair = sys::socket_pair(SOCK_STREAM).value();
        kept_ = sys::duplicate(pair.first.get()).value();
        link_ = StreamLink::create(*loop_, std::move(pair.first)).value();
        far_ = std::move(pair.second);
        user_.link = link_.get();
        link_->set_user(&user_);
        link_->want_frames(true);
    }
    Fd kept_;
};

TEST_F(StreamLinkHandedOn, AFrameThatWasHalfReadIsReadToItsEndAndNotFurther) {
    for (const size_t read : {1U, 3U, 4U, 30U, 63U}) {
        SCOPED_TRACE(read);
        auto copy = sys::duplicate(kept_.get()).value();
        link_ = StreamLink::create(*loop_, std::move(copy)).value();
        user_.link = link_.get();
        link_->set_user(&user_);
        link_->want_frames(true);
        const Bytes frame = framed(Bytes(60, 1));
        ASSERT_TRUE(sys::write_all(far_, ByteView(frame).first(read)));
        run();
        ASSERT_TRUE(sys::write_all(far_, ByteView(frame).subspan(read)));
        ASSERT_TRUE(sys::write_all(far_, framed(Bytes(60, 2))));

        link_->hand_on();

        Bytes next(64);
        ASSERT_TRUE(sys::read_exact(kept_, next));
        EXPECT_EQ(next, framed(Bytes(60, 2)));
        EXPECT_FALSE(link_->is_up());
        EXPECT_EQ(user_.changes, 0);
    }
}

TEST_F(StreamLinkHandedOn, AFrameThatHasBegunIsFinished) {
    int sent = 0;
    while (link_->send(Bytes(9000, 3)))
        ++sent;
    std::thread reader([&] {
        Bytes bytes(9004);
        for (int i = 0; i < sent; ++i) {
            ASSERT_TRUE(sys::read_exact(far_, bytes));
            EXPECT_EQ(bytes, framed(Bytes(9000, 3)));
        }
    });

    link_->hand_on();

    reader.join();
    ASSERT_TRUE(sys::write_all(kept_, framed(Bytes(60, 4))));
    Bytes next(64);
    ASSERT_TRUE(sys::read_exact(far_, next));
    EXPECT_EQ(next, framed(Bytes(60, 4)));
}

TEST_F(StreamLinkHandedOn, OneThatCannotBeBroughtToTheEndOfAFrameIsClosedForAll) {
    ASSERT_TRUE(sys::write_all(far_, ByteView(framed(Bytes(60, 1))).first(20)));
    run();

    link_->hand_on();  // the rest never comes

    Bytes rest(1);
    EXPECT_EQ(sys::read_some(kept_, rest)->bytes, 0U);
    EXPECT_EQ(sys::read_some(far_, rest)->bytes, 0U);
}

class StreamLinkLies : public StreamLinkTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(StreamLinkLies, ALengthThatNoFrameHasEndsTheLink) {
    const Be32 length = GetParam();
    ASSERT_TRUE(sys::write_all(far_, object_bytes(length)));
    ASSERT_TRUE(sys::write_all(far_, Bytes(100)));
    run();

    EXPECT_FALSE(link_->is_up());
    EXPECT_TRUE(user_.frames.empty());
}

INSTANTIATE_TEST_SUITE_P(Lengths, StreamLinkLies,
                         testing::Values(0U, 13U, uint32_t{NetworkLink::kMaxFrame + 1}, 0xffffffffU));

}  // namespace
}  // namespace alcove::virtio
