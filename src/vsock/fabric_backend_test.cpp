// SPDX-License-Identifier: Apache-2.0
//
// Guests that behave as Linux does, in VMs that are joined: a primary VM and its enclaves.
#include "vsock/fabric_backend.hpp"

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "vsock/fabric_fake.hpp"
#include "vsock/stream_pattern.hpp"

namespace alcove::vsock {
namespace {

constexpr Port kPort{9000};

// One stream, both of its ends, and how far each direction has got.
struct Transfer {
    GuestStream* ends[2];
    uint64_t sent[2] = {0, 0};
    uint64_t got[2] = {0, 0};
    bool is_right = true;

    static Pattern pattern(size_t direction) { return Pattern(1000 * direction); }
    void write(size_t from, uint64_t total, size_t message) {
        if (sent[from] >= total) return;
        const auto size = std::min<uint64_t>(message, total - sent[from]);
        sent[from] += ends[from]->write(pattern(from).part(sent[from], size));
    }
    // What came from that end.
    void read(size_t from, size_t limit = ~size_t{0}) {
        const auto bytes = ends[1 - from]->read(limit);
        is_right = is_right && pattern(from).matches(got[from], bytes);
        got[from] += bytes.size();
    }
    bool is_done(uint64_t total) const { return got[0] == total && got[1] == total; }
};

class FabricTest : public testing::Test {
  protected:
    explicit FabricTest(const FabricLink::Options& options = {})
        : primary_(Cid::Parent, options), enclave_(Cid{16}, options) {
        join(primary_, enclave_);
        primary_.sockets.listen(kPort);
        enclave_.sockets.listen(kPort);
    }
    void run() { run_all({&primary_, &enclave_}); }
    // Of the enclave's making.
    Transfer connect() {
        auto& mine = enclave_.sockets.connect(kPort, Cid::Parent);
        run();
        EXPECT_TRUE(mine.is_open());
        return {.ends = {&mine, primary_.sockets.accepted().back()}};
    }

    FakeMember primary_;
    FakeMember enclave_;
};

TEST_F(FabricTest, StreamsOpenFromBothSidesAndCarryBytesBothWays) {
    auto& from_enclave = enclave_.sockets.connect(kPort, Cid::Parent);
    auto& from_primary = primary_.sockets.connect(kPort, Cid{16});
    run();
    ASSERT_TRUE(from_enclave.is_open());
    ASSERT_TRUE(from_primary.is_open());
    ASSERT_EQ(primary_.sockets.accepted().size(), 1U);
    ASSERT_EQ(enclave_.sockets.accepted().size(), 1U);

    from_enclave.write(as_byte_view("heartbeat"));
    enclave_.sockets.accepted()[0]->write(as_byte_view("answer"));
    run();

    EXPECT_EQ(as_text(primary_.sockets.accepted()[0]->read()), "heartbeat");
    EXPECT_EQ(as_text(from_primary.read()), "answer");
}

TEST_F(FabricTest, EachByteIsCopiedOnceOnEachSide) {
    auto transfer = connect();
    const bool done = run_all_until({&primary_, &enclave_}, [&] {
        transfer.write(0, 4_MiB, kMaxPayload);
        transfer.read(0);
        return transfer.got[0] == 4_MiB;
    });

    EXPECT_TRUE(done);
    EXPECT_TRUE(transfer.is_right);
    EXPECT_EQ(enclave_.fabric.counters().bytes_to_peer, 4_MiB);
    EXPECT_EQ(enclave_.fabric.counters().bytes_copied, 0U);
    EXPECT_EQ(primary_.fabric.counters().bytes_to_guest, 4_MiB);
}

TEST_F(FabricTest, HalfClosesAndClosesReachThePeer) {
    auto transfer = connect();
    transfer.ends[0]->write(as_byte_view("question"));
    transfer.ends[0]->shutdown(shutdown_flag::SEND);
    run();
    EXPECT_EQ(transfer.ends[1]->peer_shutdown(), shutdown_flag::SEND);
    EXPECT_EQ(as_text(transfer.ends[1]->read()), "question");

    transfer.ends[1]->write(as_byte_view("answer"));
    run();
    EXPECT_EQ(as_text(transfer.ends[0]->read()), "answer");
    transfer.ends[1]->shutdown(shutdown_flag::BOTH);
    run();

    EXPECT_TRUE(transfer.ends[1]->is_closed()) << "the other guest answers with RST";
    EXPECT_EQ(primary_.fabric.stream_count() + enclave_.fabric.stream_count(), 0U);
}

TEST_F(FabricTest, AHeartbeatThatIsAnsweredIsNoticedOnce) {
    auto transfer = connect();
    transfer.ends[0]->write(Bytes{0xb7});
    run();
    EXPECT_EQ(enclave_.heartbeats, 0U);
    transfer.ends[1]->write(Bytes{0xb7});
    run();
    transfer.ends[1]->write(Bytes{0xb7});
    run();

    EXPECT_EQ(enclave_.heartbeats, 1U);
    EXPECT_EQ(primary_.heartbeats, 0U);
}

TEST_F(FabricTest, APortNobodyListensOnIsRefusedByTheGuestThere) {
    auto& stream = enclave_.sockets.connect(Port{1}, Cid::Parent);
    run();

    EXPECT_TRUE(stream.is_closed());
    EXPECT_EQ(primary_.fabric.stream_count() + enclave_.fabric.stream_count(), 0U);
}

TEST_F(FabricTest, AnUnknownContextIdIsAnsweredWithRst) {
    auto& stream = primary_.sockets.connect(kPort, Cid{17});
    run();

    EXPECT_TRUE(stream.is_closed());
}

TEST_F(FabricTest, EnclavesDoNotReachEachOther) {
    FakeMember other(Cid{17});
    join(primary_, other);
    other.sockets.listen(kPort);

    auto& stream = enclave_.sockets.connect(kPort, Cid{17});
    run_all({&primary_, &enclave_, &other});

    EXPECT_TRUE(stream.is_closed());
    EXPECT_TRUE(other.sockets.accepted().empty());
}

TEST_F(FabricTest, APeerWithoutADriverRefuses) {
    primary_.guest.driver().reset();

    auto& stream = enclave_.sockets.connect(kPort, Cid::Parent);
    run();

    EXPECT_TRUE(stream.is_closed());
}

TEST_F(FabricTest, AResetOfOneGuestEndsItsStreamsAtTheOther) {
    auto transfer = connect();
    enclave_.guest.driver().reset();
    run();
    EXPECT_TRUE(transfer.ends[1]->is_closed());
    EXPECT_EQ(primary_.fabric.stream_count() + enclave_.fabric.stream_count(), 0U);

    enclave_.guest.start();
    auto again = connect();
    again.ends[0]->write(as_byte_view("again"));
    run();
    EXPECT_EQ(as_text(again.ends[1]->read()), "again");
}

TEST_F(FabricTest, WhatAPeerSentBeforeItLeftArrivesAndThenTheStreamEnds) {
    auto transfer = connect();
    primary_.guest.set_refill(false);
    transfer.ends[0]->write(Bytes(60'000, 'x'));
    enclave_.run();
    enclave_.fabric.leave(Cid::Parent);
    enclave_.run();
    run_all_until({&primary_}, [&] { return !primary_.gone.empty(); });
    primary_.guest.set_refill(true);
    run();

    EXPECT_EQ(transfer.ends[1]->read().size(), 60'000U);
    EXPECT_TRUE(transfer.ends[1]->is_closed());
    EXPECT_EQ(primary_.gone, std::vector{Cid{16}});
    auto& late = primary_.sockets.connect(kPort, Cid{16});
    run();
    EXPECT_TRUE(late.is_closed());
}

TEST_F(FabricTest, APeerThatIsJoinedAnewIsReached) {
    auto former = connect();
    join(primary_, enclave_);
    run();
    EXPECT_TRUE(former.ends[0]->is_closed());
    EXPECT_TRUE(former.ends[1]->is_closed());

    auto transfer = connect();
    transfer.ends[1]->write(as_byte_view("new"));
    run();
    EXPECT_EQ(as_text(transfer.ends[0]->read()), "new");
}

TEST_F(FabricTest, TheTransmitQueueIsDrainedWhateverThePeerTakes) {
    auto transfer = connect();
    primary_.guest.set_refill(false);
    for (int i = 0; i < 50; ++i) {
        transfer.write(0, 100_MiB, kMaxPayload);
        run();
    }
    auto& transmit = enclave_.guest.driver().queue(queue_index::kTx);
    EXPECT_EQ(transmit.used_index(), transmit.available_index());
    EXPECT_EQ(transfer.ends[0]->credit(), 0U);
    EXPECT_LE(enclave_.fabric.buffered_bytes(), 256_KiB + 64_KiB);

    primary_.guest.set_refill(true);
    const bool done = run_all_until({&primary_, &enclave_}, [&] {
        transfer.read(0);
        return transfer.got[0] == transfer.sent[0];
    });
    EXPECT_TRUE(done);
    EXPECT_TRUE(transfer.is_right);
    EXPECT_EQ(enclave_.fabric.buffered_bytes(), 0U);
}

TEST_F(FabricTest, APeerThatTakesNothingHoldsUpNoOther) {
    FakeMember stuck(Cid{17});
    join(primary_, stuck);
    stuck.sockets.listen(kPort);
    auto& to_stuck = primary_.sockets.connect(kPort, Cid{17});
    run_all({&primary_, &enclave_, &stuck});
    ASSERT_TRUE(to_stuck.is_open());
    for (int i = 0; i < 100; ++i) {
        to_stuck.write(Bytes(kMaxPayload));
        run();  // without the stuck one
    }

    auto transfer = connect();
    const bool done = run_all_until({&primary_, &enclave_}, [&] {
        for (size_t i = 0; i < 2; ++i) {
            transfer.write(i, 1_MiB, kMaxPayload);
            transfer.read(i);
        }
        return transfer.is_done(1_MiB);
    });
    EXPECT_TRUE(done);
    EXPECT_TRUE(transfer.is_right);
}

TEST_F(FabricTest, ConnectStormsAreRefusedBeyondTheTableAndLeaveNothing) {
    primary_.guest.set_refill(false);
    uint64_t refused = 0;
    for (uint32_t i = 0; i < 2000; ++i) {
        ASSERT_TRUE(enclave_.guest.send(enclave_.header(Op::REQUEST, Port{10'000 + i}, kPort, Cid::Parent)));
        enclave_.machine.run();
        for (const auto& packet : enclave_.guest.receive())
            refused += packet.op() == Op::RST ? 1 : 0;
        primary_.machine.run();
    }
    EXPECT_EQ(refused, 2000U - FabricLink::Options().max_streams);
    EXPECT_LE(enclave_.fabric.stream_count(), FabricLink::Options().max_streams);
    EXPECT_LE(primary_.fabric.stream_count(), FabricLink::Options().max_streams);

    primary_.guest.set_refill(true);
    enclave_.guest.driver().reset();
    enclave_.guest.start();
    run();
    EXPECT_EQ(enclave_.fabric.stream_count() + primary_.fabric.stream_count(), 0U);
    EXPECT_TRUE(connect().ends[1]->is_open());
}

TEST_F(FabricTest, DoorbellsAreRungForSleepersOnly) {
    auto transfer = connect();
    const uint64_t before = enclave_.fabric.counters().doorbells;
    for (int i = 0; i < 32; ++i)
        transfer.write(0, 1_MiB, 64);
    enclave_.run();

    EXPECT_EQ(enclave_.fabric.counters().doorbells, before + 1);
}

// What Linux says after each message of a dialogue.
TEST_F(FabricTest, CreditThatThePeerDoesNotNeedIsNoPacketOfItsOwn) {
    auto transfer = connect();
    for (int i = 0; i < 16; ++i) {
        transfer.write(0, 1_MiB, 64);
        run();
        transfer.read(0);
        run();
        EXPECT_EQ(transfer.ends[0]->credit(), 256_KiB - transfer.sent[0]);
    }

    transfer.ends[1]->write(as_byte_view("answer"));
    run();
    EXPECT_EQ(transfer.ends[0]->credit(), 256_KiB) << "it goes with what is sent next";
}

TEST_F(FabricTest, CreditIsToldWhenHalfOfItIsUsed) {
    auto transfer = connect();
    transfer.write(0, 1_MiB, 64_KiB);
    transfer.write(0, 1_MiB, 32_KiB);
    run();
    transfer.read(0);
    run();
    EXPECT_EQ(transfer.ends[0]->credit(), 160_KiB) << "more than half is left";
    transfer.write(0, 1_MiB, 32_KiB);
    run();
    EXPECT_EQ(transfer.ends[0]->credit(), 224_KiB) << "of what was read before";
    transfer.read(0);
    run();
    EXPECT_EQ(transfer.ends[0]->credit(), 224_KiB);
}

TEST_F(FabricTest, APeerThatAsksIsAnswered) {
    auto transfer = connect();
    transfer.write(0, 1_MiB, 64);
    run();
    transfer.read(0);
    run();
    EXPECT_LT(transfer.ends[0]->credit(), 256_KiB);

    transfer.ends[0]->send_control(Op::CREDIT_REQUEST);
    run();
    EXPECT_EQ(transfer.ends[0]->credit(), 256_KiB);
}

// An answer that gives nothing does not count: the next one is not held back.
TEST_F(FabricTest, APeerThatAskedInVainIsToldAsSoonAsThereIsRoom) {
    auto transfer = connect();
    transfer.write(0, 1_MiB, 64);
    run();
    transfer.ends[0]->send_control(Op::CREDIT_REQUEST);
    run();
    EXPECT_LT(transfer.ends[0]->credit(), 256_KiB);

    transfer.read(0);
    run();
    EXPECT_EQ(transfer.ends[0]->credit(), 256_KiB);
}

// Both guests send as much as they can, and read only now and then.
struct Flood {
    size_t message;
    uint64_t total;
};

class FabricFloodTest : public FabricTest, public testing::WithParamInterface<Flood> {};

TEST_P(FabricFloodTest, InBothDirectionsAtOnceGoesOnAndStaysBounded) {
    constexpr size_t kStreams = 8;
    std::vector<Transfer> transfers;
    for (size_t i = 0; i < kStreams; ++i)
        transfers.push_back(connect());
    uint64_t largest = 0;
    uint32_t round = 0;
    const bool done = run_all_until({&primary_, &enclave_}, [&] {
        ++round;
        bool all = true;
        for (auto& transfer : transfers) {
            for (size_t i = 0; i < 2; ++i) {
                for (int burst = 0; burst < 4; ++burst)
                    transfer.write(i, GetParam().total, GetParam().message);
                if (round % (3 + i) == 0) transfer.read(i, 100'000);
            }
            all = all && transfer.is_done(GetParam().total);
        }
        largest = std::max(largest, primary_.fabric.buffered_bytes() + enclave_.fabric.buffered_bytes());
        return all;
    });

    EXPECT_TRUE(done);
    for (const auto& transfer : transfers)
        EXPECT_TRUE(transfer.is_right);
    EXPECT_LE(largest, 2 * kStreams * (256_KiB + 64_KiB));
    EXPECT_EQ(primary_.fabric.counters().violations + enclave_.fabric.counters().violations, 0U);
}

INSTANTIATE_TEST_SUITE_P(Messages, FabricFloodTest,
                         testing::Values(Flood{.message = 64, .total = 64'000},
                                         Flood{.message = kMaxPayload, .total = 2_MiB}));

// Windows far smaller than what the guests promise each other, and guests that say nothing of room until
// their own buffers are short of it.
class FabricNarrowTest : public FabricTest {
  protected:
    FabricNarrowTest()
        : FabricTest({.buffer_budget = 16_KiB, .credit_patience = std::chrono::milliseconds(1)}) {}
};

TEST_F(FabricNarrowTest, NarrowWindowsAreKeptAndCreditIsAskedFor) {
    auto transfer = connect();
    EXPECT_EQ(transfer.ends[0]->credit(), WindowBudget::kMinWindow);
    const bool done = run_all_until({&primary_, &enclave_}, [&] {
        for (size_t i = 0; i < 2; ++i) {
            transfer.write(i, 256_KiB, kMaxPayload);
            transfer.read(i);
        }
        return transfer.is_done(256_KiB);
    });
    EXPECT_TRUE(done);
    EXPECT_TRUE(transfer.is_right);
}

}  // namespace
}  // namespace alcove::vsock
