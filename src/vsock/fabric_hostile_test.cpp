// SPDX-License-Identifier: Apache-2.0
//
// A peer's VMM that its guest has taken over: it writes what it wants into what it may write. And guests that
// do not keep to what they were promised.
#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"
#include "vsock/fabric_fake.hpp"

namespace alcove::vsock {
namespace {

constexpr Port kHostilePort{9000};
constexpr Cid kHostile{16};
constexpr uint64_t kWrittenOffset = 64;
constexpr uint64_t kTakenOffset = 128;

class HostilePeerTest : public testing::Test {
  protected:
    HostilePeerTest() {
        primary_.fabric.join(kHostile, std::move(pair_.first)).value();
        join(primary_, honest_);
        primary_.sockets.listen(kHostilePort);
        honest_.sockets.listen(kHostilePort);
    }
    void run() { run_all({&primary_, &honest_}); }
    void ring() { api::FabricDoorbell(sys::duplicate(pair_.second.doorbell.get()).value()).ring(); }

    static Header header(Op op, uint32_t own_port = 1000, Port primarys_port = kHostilePort) {
        auto result = make_header(op, kHostile, Port{own_port}, Cid::Parent, primarys_port);
        result.buf_alloc = 256 * 1024;
        return result;
    }
    // False when the ring is full.
    bool send(const Header& header, size_t payload = 0) {
        if (!ring_.has_room(static_cast<uint32_t>(payload)).value()) return false;
        (void)ring_.send(object_bytes(header), static_cast<uint32_t>(payload));
        ring();
        return true;
    }
    bool send_data(uint32_t own_port, uint32_t size) {
        auto data = header(Op::RW, own_port);
        data.len = size;
        return send(data, size);
    }
    std::vector<Header> received() {
        std::vector<Header> headers;
        while (!ring_.is_empty()) {
            const auto record = ring_.front().value();
            headers.push_back(*read_object<Header>(record.header));
            (void)ring_.drop(record);
            ring();
        }
        return headers;
    }
    GuestStream& accept() {
        send(header(Op::REQUEST));
        run();
        EXPECT_EQ(op_of(received().at(0)), Op::RESPONSE);
        return *primary_.sockets.accepted().back();
    }
    // The link is over, its streams with it, and the others' are not.
    void expect_only_this_link_is_over(const GuestStream& stream) {
        run();
        EXPECT_TRUE(stream.is_closed());
        EXPECT_FALSE(primary_.fabric.serves(kHostile));
        EXPECT_EQ(primary_.gone, std::vector{kHostile});
        auto& other = primary_.sockets.connect(kHostilePort, Cid{17});
        run();
        EXPECT_TRUE(other.is_open());
        EXPECT_FALSE(other.is_closed());
    }
    void lie(uint64_t offset, uint64_t value) {
        ASSERT_TRUE(sys::write_all_at(pair_.second.own_ring, object_bytes(value), offset));
        ring();
    }

    api::FabricPair pair_ = api::make_fabric_pair().value();
    api::FabricRing ring_ = api::FabricRing::open(pair_.second.own_ring, pair_.second.peer_ring).value();
    FakeMember primary_{Cid::Parent};
    FakeMember honest_{Cid{17}};
};

TEST_F(HostilePeerTest, AnIndexThatIsNonsenseEndsThatLinkOnly) {
    const auto& stream = accept();
    lie(kWrittenOffset, ~uint64_t{0});
    expect_only_this_link_is_over(stream);
}

TEST_F(HostilePeerTest, AnIndexOfTheReceivingHalfThatIsNonsenseDoesSo) {
    auto& stream = accept();
    lie(kTakenOffset, 1ULL << 40);
    stream.write(as_byte_view("x"));
    expect_only_this_link_is_over(stream);
}

struct Spoiler {
    const char* name;
    void (*spoil)(Header&);
};
class HostileHeaderTest : public HostilePeerTest, public testing::WithParamInterface<Spoiler> {};

TEST_P(HostileHeaderTest, ThatNoVmmMakesEndsThatLinkOnly) {
    const auto& stream = accept();
    auto packet = header(Op::CREDIT_UPDATE);
    GetParam().spoil(packet);
    send(packet);
    expect_only_this_link_is_over(stream);
}

INSTANTIATE_TEST_SUITE_P(Headers, HostileHeaderTest,
                         testing::Values(Spoiler{"Type", [](Header& packet) { packet.type = 2; }},
                                         Spoiler{"NoOperation", [](Header& packet) { packet.op = 0; }},
                                         Spoiler{"UnknownOperation", [](Header& packet) { packet.op = 8; }},
                                         Spoiler{"Length", [](Header& packet) { packet.len = 1; }},
                                         Spoiler{"HugeLength", [](Header& packet) { packet.len = ~0U; }},
                                         Spoiler{"OtherEnclave", [](Header& packet) { packet.dst_cid = 17; }},
                                         Spoiler{"Host", [](Header& packet) { packet.dst_cid = 2; }}),
                         [](const auto& each) { return each.param.name; });

TEST_F(HostilePeerTest, TheSourceIsTheRingsWhateverThePacketSays) {
    auto request = header(Op::REQUEST);
    request.src_cid = 17;
    send(request);
    run();

    ASSERT_EQ(received().size(), 1U) << "the answer comes back here";
    EXPECT_TRUE(honest_.guest.receive().empty());
}

TEST_F(HostilePeerTest, DoorbellsWithoutReasonDoNothing) {
    auto& stream = accept();
    for (int i = 0; i < 10'000; ++i)
        ring();
    run();

    EXPECT_FALSE(stream.is_closed());
    EXPECT_TRUE(primary_.fabric.serves(kHostile));
}

TEST_F(HostilePeerTest, DataBeyondAllCreditStaysInTheRing) {
    accept();
    primary_.guest.set_refill(false);
    size_t sent = 0;
    for (int i = 0; i < 1000; ++i) {
        sent += send_data(1000, kMaxPayload) ? 1 : 0;
        primary_.machine.run();
    }
    EXPECT_LT(sent * kMaxPayload, api::kFabricDataBytes + 256 * FakeGuest::kReceiveBuffer);
    EXPECT_EQ(primary_.fabric.buffered_bytes(), 0U);
}

TEST_F(HostilePeerTest, APeerThatTakesNothingAndPromisesEverythingCostsAWindow) {
    auto& stream = accept();
    // It claims to have forwarded everything, whatever that may be, again and again.
    uint64_t written = 0;
    for (uint32_t i = 0; i < 200 && !stream.is_closed(); ++i) {
        auto update = header(Op::CREDIT_UPDATE);
        update.fwd_cnt = static_cast<uint32_t>(written);
        send(update);
        written += stream.write(Bytes(kMaxPayload));
        run();
        EXPECT_LE(primary_.fabric.buffered_bytes(), 256_KiB + 64_KiB);
    }
    EXPECT_TRUE(stream.is_closed()) << "more than a window waits: the stream is reset";
    EXPECT_EQ(primary_.fabric.buffered_bytes(), 0U);
}

TEST_F(HostilePeerTest, ItsConnectStormFillsItsOwnTableOnly) {
    primary_.guest.set_refill(false);
    for (uint32_t i = 0; i < 5'000; ++i) {
        send(header(Op::REQUEST, i));
        primary_.machine.run();
        if (i % 100 == 0) (void)received();
    }
    EXPECT_LE(primary_.fabric.stream_count(), FabricLink::Options().max_streams);

    primary_.guest.set_refill(true);
    auto& other = honest_.sockets.connect(kHostilePort, Cid::Parent);
    run();
    EXPECT_TRUE(other.is_open());
}

TEST_F(HostilePeerTest, PacketsOfNoStreamAreAnsweredWithinALimit) {
    for (uint32_t i = 0; i < 20'000; ++i) {
        send_data(i, 0);
        primary_.machine.run();
    }
    // It takes none of the answers: its ring is full, and is not looked at any more.
    EXPECT_FALSE(ring_.has_room(kMaxPayload).value());
    const size_t answered = received().size();
    EXPECT_GT(answered, 0U);
    run();
    EXPECT_TRUE(ring_.has_room(kMaxPayload).value()) << "it goes on when the answers are taken";
}

TEST_F(HostilePeerTest, ASecondRequestForAStreamResetsIt) {
    auto& stream = accept();
    send(header(Op::REQUEST));
    run();

    EXPECT_TRUE(stream.is_closed());
    EXPECT_EQ(op_of(received().at(0)), Op::RST);
    EXPECT_EQ(primary_.fabric.stream_count(), 0U);
}

TEST_F(HostilePeerTest, APeerWhoseProcessIsGoneIsGone) {
    auto& stream = accept();
    pair_.second.doorbell.reset();
    expect_only_this_link_is_over(stream);
}

// ---- the guest

class HostileGuestTest : public HostilePeerTest {
  protected:
    Header from_guest(Op op) const { return primary_.header(op, kHostilePort, Port{1000}, kHostile); }
    uint64_t violations() const { return primary_.fabric.counters().violations; }
};

TEST_F(HostileGuestTest, MoreThanTheWindowResetsTheStream) {
    const auto& stream = accept();
    auto data = from_guest(Op::RW);
    data.len = kMaxPayload;
    for (int i = 0; i < 100 && !stream.is_closed(); ++i) {
        ASSERT_TRUE(primary_.guest.send(data, Bytes(kMaxPayload)));
        run();
        EXPECT_LE(primary_.fabric.buffered_bytes(), 256_KiB + 64_KiB);
    }
    EXPECT_TRUE(stream.is_closed());
    EXPECT_EQ(violations(), 1U);
    auto packets = received();
    run();
    const auto rest = received();
    packets.insert(packets.end(), rest.begin(), rest.end());
    EXPECT_EQ(op_of(packets.back()), Op::RST) << "behind what was in the ring";
}

TEST_F(HostileGuestTest, OperationsThatMakeNoSenseResetTheStream) {
    for (const uint16_t op : {uint16_t{0}, uint16_t{1}, uint16_t{99}}) {
        const auto& stream = accept();
        auto packet = from_guest(Op::RW);
        packet.op = op;
        ASSERT_TRUE(primary_.guest.send(packet));
        run();
        EXPECT_TRUE(stream.is_closed()) << op;
        EXPECT_EQ(op_of(received().at(0)), Op::RST) << op;
    }
    EXPECT_EQ(violations(), 3U);
}

TEST_F(HostileGuestTest, ControlPacketsThatDoNotFitAreOneEach) {
    accept();
    uint64_t before = 0;
    for (int i = 0; i < 20'000; ++i) {
        for (const auto op : {Op::CREDIT_UPDATE, Op::CREDIT_REQUEST, Op::RESPONSE})
            ASSERT_TRUE(primary_.guest.send(from_guest(op)));
        primary_.machine.run();
    }
    const auto first = received();
    before = first.size();
    run();
    const auto rest = received();
    EXPECT_LE(before, api::kFabricDataBytes / api::kFabricSlotBytes);
    EXPECT_LE(rest.size(), 3U);
}

TEST_F(HostileGuestTest, PacketsOfNoStreamAreAnsweredAndAnRstIsNot) {
    ASSERT_TRUE(primary_.guest.send(from_guest(Op::CREDIT_UPDATE)));
    ASSERT_TRUE(primary_.guest.send(from_guest(Op::RST)));
    primary_.machine.run();
    const auto answers = primary_.guest.receive();

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].op(), Op::RST);
    EXPECT_TRUE(received().empty()) << "the peer hears nothing of it";
}

}  // namespace
}  // namespace alcove::vsock
