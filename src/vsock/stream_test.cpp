// SPDX-License-Identifier: Apache-2.0
//
// Whole streams: a guest that behaves as Linux does on one side, host programs with real sockets on the
// other, everything in between as in a machine.
#include <numeric>

#include <sys/resource.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "vsock/guest_fake.hpp"
#include "vsock/stream_pattern.hpp"

namespace alcove::vsock {
namespace {

// Both ends of one stream and how far each direction has got.
struct Transfer {
    GuestStream* guest;
    const Fd* program;
    Pattern pattern;
    uint64_t guest_sent = 0;
    uint64_t program_got = 0;
    uint64_t program_sent = 0;
    uint64_t guest_got = 0;
    bool is_right = true;

    void guest_writes(uint64_t total, size_t message) {
        if (guest_sent >= total) return;
        const auto size = std::min<uint64_t>(message, total - guest_sent);
        guest_sent += guest->write(pattern.part(guest_sent, size));
    }
    void program_reads() {
        Bytes bytes(64 * 1024);
        const auto transfer = sys::read_some(*program, bytes);
        if (!transfer) return;
        is_right = is_right && pattern.matches(program_got, ByteView(bytes).first(transfer->bytes));
        program_got += transfer->bytes;
    }
    void program_writes(uint64_t total, size_t message) {
        if (program_sent >= total) return;
        const auto size = std::min<uint64_t>(message, total - program_sent);
        const auto transfer = sys::write_some(*program, pattern.part(program_sent, size));
        if (transfer) program_sent += transfer->bytes;
    }
    void guest_reads(size_t limit = ~size_t{0}) {
        const auto bytes = guest->read(limit);
        is_right = is_right && pattern.matches(guest_got, bytes);
        guest_got += bytes.size();
    }
};

class StreamTest : public testing::Test {
  protected:
    explicit StreamTest(const VsockDevice::Timing& timing = {}) : vsock_({}, timing) {}

    std::vector<Transfer> open(size_t count) {
        std::vector<GuestStream*> streams;
        for (size_t i = 0; i < count; ++i) {
            streams.push_back(&vsock_.sockets.connect(Port{5000}));
            if (i % 32 == 31) vsock_.run();
        }
        vsock_.run();
        EXPECT_EQ(vsock_.opener.programs.size(), count);
        std::vector<Transfer> transfers;
        for (size_t i = 0; i < count; ++i)
            transfers.push_back({streams[i], &vsock_.opener.programs[i], Pattern(i * 1'000'003)});
        return transfers;
    }
    const TrafficCounters& traffic() { return vsock_.backend.traffic(); }

    FakeVsock vsock_;
};

TEST_F(StreamTest, BulkDataArrivesUnchangedBothWaysAtOnce) {
    constexpr uint64_t kTotal = 24 * 1024 * 1024;
    auto transfers = open(1);
    auto& transfer = transfers[0];

    const bool done = vsock_.run_until([&] {
        transfer.guest_writes(kTotal, 64 * 1024);
        transfer.program_writes(kTotal, 64 * 1024);
        transfer.program_reads();
        transfer.guest_reads();
        return transfer.program_got == kTotal && transfer.guest_got == kTotal;
    });

    EXPECT_TRUE(done);
    EXPECT_TRUE(transfer.is_right);
    EXPECT_EQ(traffic().violations, 0U);
    EXPECT_EQ(traffic().bytes_dropped, 0U);
}

TEST_F(StreamTest, OddSizesArriveUnchanged) {
    constexpr uint64_t kTotal = 500'000;
    auto transfers = open(3);
    const size_t sizes[] = {1, 977, 65'537};

    for (size_t i = 0; i < 3; ++i) {
        auto& transfer = transfers[i];
        const uint64_t total = std::min<uint64_t>(kTotal, sizes[i] * 2000);
        EXPECT_TRUE(vsock_.run_until([&] {
            transfer.guest_writes(total, sizes[i]);
            transfer.program_writes(total, sizes[i]);
            transfer.program_reads();
            transfer.guest_reads();
            return transfer.program_got == total && transfer.guest_got == total;
        })) << sizes[i];
        EXPECT_TRUE(transfer.is_right) << sizes[i];
    }
}

TEST_F(StreamTest, SixtyFourStreamsShareTheDevice) {
    constexpr uint64_t kTotal = 512 * 1024;
    auto transfers = open(64);

    const bool done = vsock_.run_until([&] {
        bool all = true;
        for (auto& transfer : transfers) {
            transfer.guest_writes(kTotal, 16 * 1024);
            transfer.program_writes(kTotal, 16 * 1024);
            transfer.program_reads();
            transfer.guest_reads();
            all = all && transfer.program_got == kTotal && transfer.guest_got == kTotal;
        }
        return all;
    });

    EXPECT_TRUE(done);
    for (const auto& transfer : transfers)
        EXPECT_TRUE(transfer.is_right);
}

TEST_F(StreamTest, AGreedyStreamLeavesOthersTheirTurn) {
    auto transfers = open(2);
    // Fills the first socket as far as it goes, so that it always has something to send.
    const auto feed = [&] { transfers[0].program_writes(1'000'000'000, 256 * 1024); };
    feed();
    vsock_.run_until([&] {
        feed();
        return transfers[0].guest->unread() > 100'000;
    });

    transfers[1].program_writes(5, 5);
    for (int round = 0; round < 3 && transfers[1].guest->unread() == 0; ++round) {
        feed();
        transfers[0].guest_reads();
        vsock_.machine.run();
        vsock_.sockets.poll();
    }

    EXPECT_EQ(transfers[1].guest->unread(), 5U);
}

TEST_F(StreamTest, AGuestThatDoesNotReadStopsTheProgramAndNothingGrows) {
    auto transfers = open(2);
    for (int i = 0; i < 200; ++i) {
        transfers[0].program_writes(1'000'000'000, 64 * 1024);
        vsock_.run();
    }

    EXPECT_LE(transfers[0].guest->unread(), FakeGuest::kBuffer);
    EXPECT_LT(transfers[0].program_sent, 2U * 1024 * 1024) << "the program is held back";
    EXPECT_EQ(vsock_.backend.buffered_bytes(), 0U);

    // The other stream is not held up, and the first goes on when it is read.
    transfers[1].program_writes(1000, 1000);
    transfers[1].guest_writes(1000, 1000);
    vsock_.run();
    transfers[1].program_reads();
    EXPECT_EQ(transfers[1].guest->unread(), 1000U);
    EXPECT_EQ(transfers[1].program_got, 1000U);
    const uint64_t sent = transfers[0].program_sent;
    EXPECT_TRUE(vsock_.run_until([&] {
        transfers[0].guest_reads();
        return transfers[0].guest_got == sent;
    }));
    EXPECT_TRUE(transfers[0].is_right);
}

TEST_F(StreamTest, AProgramThatDoesNotReadStopsTheGuestAndMemoryIsBounded) {
    auto transfers = open(2);
    for (int i = 0; i < 200; ++i) {
        transfers[0].guest_writes(1'000'000'000, 64 * 1024);
        vsock_.run();
    }

    EXPECT_EQ(transfers[0].guest->credit(), 0U) << "the guest is held back";
    EXPECT_LE(vsock_.backend.buffered_bytes(), WindowBudget::kMaxWindow + 64 * 1024);
    EXPECT_EQ(traffic().violations, 0U);

    transfers[1].guest_writes(1000, 1000);
    vsock_.run();
    transfers[1].program_reads();
    EXPECT_EQ(transfers[1].program_got, 1000U);
    const uint64_t sent = transfers[0].guest_sent;
    EXPECT_TRUE(vsock_.run_until([&] {
        transfers[0].program_reads();
        return transfers[0].program_got == sent;
    }));
    EXPECT_TRUE(transfers[0].is_right);
    EXPECT_EQ(vsock_.backend.buffered_bytes(), 0U);
}

TEST_F(StreamTest, NeitherSideReadingDoesNotBlockTheOther) {
    // Both directions full, the receive ring empty: only draining the transmit queue gets us out.
    auto transfers = open(4);
    vsock_.guest.set_refill(false);
    for (int i = 0; i < 100; ++i) {
        for (auto& transfer : transfers) {
            transfer.guest_writes(1'000'000'000, 64 * 1024);
            transfer.program_writes(1'000'000'000, 64 * 1024);
        }
        vsock_.run();
    }
    EXPECT_LE(vsock_.backend.buffered_bytes(), 4ULL * (WindowBudget::kMaxWindow + 64 * 1024));

    vsock_.guest.set_refill(true);
    const bool done = vsock_.run_until([&] {
        bool all = true;
        for (auto& transfer : transfers) {
            transfer.program_reads();
            transfer.guest_reads();
            all = all && transfer.program_got == transfer.guest_sent &&
                  transfer.guest_got == transfer.program_sent;
        }
        return all;
    });
    EXPECT_TRUE(done);
    for (const auto& transfer : transfers)
        EXPECT_TRUE(transfer.is_right);
}

TEST_F(StreamTest, TheEndArrivesBehindTheData) {
    constexpr uint64_t kTotal = 1024 * 1024;
    auto transfers = open(1);
    auto& transfer = transfers[0];
    ASSERT_TRUE(vsock_.run_until([&] {
        transfer.program_writes(kTotal, 64 * 1024);
        transfer.guest_reads(10'000);
        return transfer.program_sent == kTotal;
    }));
    vsock_.opener.programs[0].reset();

    EXPECT_TRUE(vsock_.run_until([&] {
        transfer.guest_reads(10'000);
        return transfer.guest_got == kTotal;
    }));
    EXPECT_TRUE(transfer.is_right);
    EXPECT_TRUE(vsock_.run_until([&] { return transfer.guest->peer_shutdown() == shutdown_flag::BOTH; }));
}

// Takes the second large packet already for a bulk transfer.
class BulkTest : public StreamTest {
  protected:
    explicit BulkTest(std::chrono::milliseconds patience = std::chrono::seconds(100))
        : StreamTest({.bulk_patience = patience, .bulk_age = std::chrono::milliseconds(0)}) {}
};

TEST_F(BulkTest, StreamingTakesFewKicksAndInterrupts) {
    constexpr uint64_t kTotal = 16 * 1024 * 1024;
    auto transfers = open(1);
    auto& transfer = transfers[0];
    const uint64_t kicks_before = vsock_.guest.kicks();
    const uint64_t interrupts_before = vsock_.machine.line().count();

    // The loop gets its chance after every message.
    const Bytes message(64 * 1024, 'x');
    Bytes buffer(256 * 1024);
    for (uint64_t sent = 0; sent < kTotal;) {
        sent += transfer.guest->write(message);
        vsock_.run();
        (void)sys::read_some(*transfer.program, buffer);
    }

    // 256 messages of 64 KiB, of which each third rings; credit is told every 256 KiB.
    EXPECT_LE(vsock_.guest.kicks() - kicks_before, 256U / 3 + 8);
    EXPECT_LE(traffic().credit_updates_sent, 64U + 2);
    EXPECT_LE(vsock_.machine.line().count() - interrupts_before, 64U + 16);
}

TEST_F(BulkTest, AnsweredMessagesRingEachTime) {
    auto transfers = open(1);
    auto& transfer = transfers[0];
    for (uint64_t i = 1; i <= 20; ++i) {
        const uint64_t kicks = vsock_.guest.kicks();
        transfer.guest_writes(i * 64 * 1024, 64 * 1024);
        EXPECT_EQ(vsock_.guest.kicks(), kicks + 1) << i;
        vsock_.run();
        transfer.program_reads();
        transfer.program_writes(i * 10, 10);
        vsock_.run();
        transfer.guest_reads();
        vsock_.run();  // it says that it has room again
    }
    EXPECT_EQ(transfer.guest_got, 200U);
    EXPECT_TRUE(transfer.is_right);
}

class BulkTailTest : public BulkTest {
  protected:
    BulkTailTest() : BulkTest(std::chrono::milliseconds(5)) {}
};

TEST_F(BulkTailTest, TheTailOfABulkTransferNeedsNoKick) {
    auto transfers = open(1);
    auto& transfer = transfers[0];
    constexpr uint64_t kTotal = 10 * 64 * 1024 + 10;

    EXPECT_TRUE(vsock_.run_until([&] {
        transfer.guest_writes(kTotal, 64 * 1024);
        transfer.program_reads();
        return transfer.program_got == kTotal;
    }));
    EXPECT_TRUE(transfer.is_right);
}

class ThousandsTest : public StreamTest {
  protected:
    void SetUp() override {
        // Two descriptors for each connection: the test plays both sides.
        rlimit limit{};
        ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 16'384);
        ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < 2 * kCount + 100) GTEST_SKIP() << "too few descriptors are allowed here";
    }
    static constexpr size_t kCount = 2000;
};

TEST_F(ThousandsTest, ThousandsOfConnectionsAreServed) {
    auto transfers = open(kCount);
    ASSERT_EQ(vsock_.backend.connection_count(), kCount);

    const bool done = vsock_.run_until([&] {
        bool all = true;
        for (auto& transfer : transfers) {
            transfer.guest_writes(1000, 500);
            transfer.program_writes(1000, 500);
            transfer.program_reads();
            if (transfer.guest->unread() > 0) transfer.guest_reads();
            all = all && transfer.program_got == 1000 && transfer.guest_got == 1000;
        }
        return all;
    });
    EXPECT_TRUE(done);
    EXPECT_TRUE(std::ranges::all_of(transfers, [](const Transfer& transfer) { return transfer.is_right; }));

    for (size_t i = 0; i < kCount; ++i) {
        transfers[i].guest->shutdown(shutdown_flag::BOTH);
        if (i % 32 == 31) vsock_.run();
    }
    vsock_.run();
    EXPECT_EQ(vsock_.backend.connection_count(), 0U);
}

TEST_F(ThousandsTest, ThousandsOfSilentProgramsStayInTheBudget) {
    auto transfers = open(kCount);
    for (auto& transfer : transfers) {
        while (transfer.guest->credit() > 0) {
            transfer.guest_writes(1'000'000'000, 64 * 1024);
            vsock_.machine.run();
        }
        vsock_.run();
        while (transfer.guest->credit() > 0) {
            transfer.guest_writes(1'000'000'000, 64 * 1024);
            vsock_.run();
        }
    }

    const HostBackend::Options defaults;
    EXPECT_LE(vsock_.backend.buffered_bytes(),
              defaults.buffer_budget + kCount * (WindowBudget::kMinWindow + 1024));
    EXPECT_EQ(traffic().violations, 0U);
}

}  // namespace
}  // namespace alcove::vsock
