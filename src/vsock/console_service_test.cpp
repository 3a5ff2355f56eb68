// SPDX-License-Identifier: Apache-2.0
#include "vsock/console_service.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "vsock/guest_fake.hpp"

namespace alcove::vsock {
namespace {

constexpr Cid kEnclave{16};

// A primary VM's guest, with context id 0 behind its device.
class ConsoleServiceTest : public testing::Test {
  protected:
    ConsoleServiceTest()
        : service_(machine_.loop()),
          backend_(machine_.loop(), service_, {.guest_cid = Cid::Parent, .host_cids = {Cid::Hypervisor}}),
          device_(machine_.loop(), Cid::Parent, {&backend_}),
          guest_(machine_, device_, Cid::Parent),
          sockets_(guest_) {
        guest_.start();
        service_.add(kEnclave, sys::duplicate(ring_.get()).value());
    }
    GuestStream& connect(Cid enclave = kEnclave) {
        auto& stream =
            sockets_.connect(Port{static_cast<uint32_t>(10'000 + number(enclave))}, Cid::Hypervisor);
        turn_until([&] { return stream.is_open() || stream.is_closed(); });
        return stream;
    }
    bool turn_until(const std::function<bool()>& done) {
        return machine_.run_until([&] {
            while (sockets_.poll() > 0)
                machine_.run();
            return done();
        });
    }
    std::string read(GuestStream& stream, size_t size) {
        std::string text;
        turn_until([&] {
            text += as_text(stream.read());
            return text.size() >= size || stream.is_closed();
        });
        return text;
    }

    virtio::FakeMachine machine_;
    Fd ring_ = api::make_console_ring().value();
    api::ConsoleRingWriter writer_ = api::ConsoleRingWriter::open(ring_).value();
    ConsoleService service_;
    HostBackend backend_;
    VsockDevice device_;
    FakeGuest guest_;
    GuestSockets sockets_;
};

TEST_F(ConsoleServiceTest, ReplaysFollowsAndEndsWithTheEnclave) {
    writer_.write(as_byte_view("booting\n"));
    auto& stream = connect();
    EXPECT_EQ(read(stream, 8), "booting\n");

    writer_.write(as_byte_view("up\n"));
    EXPECT_EQ(read(stream, 3), "up\n");

    writer_.write(as_byte_view("bye\n"));
    service_.remove(kEnclave);
    EXPECT_EQ(read(stream, 4), "bye\n");
    EXPECT_TRUE(turn_until([&] { return stream.peer_shutdown() != 0 || stream.is_closed(); }));
    EXPECT_EQ(service_.reader_count(), 0U);
}

TEST_F(ConsoleServiceTest, SeveralReadAndComeBackAndEachGetsItAll) {
    writer_.write(as_byte_view("booting\n"));
    auto& first = connect();
    auto& second = connect();
    EXPECT_EQ(read(first, 8), "booting\n");
    EXPECT_EQ(read(second, 8), "booting\n");

    first.shutdown(shutdown_flag::BOTH);
    EXPECT_TRUE(turn_until([&] { return service_.reader_count() == 1; }));
    EXPECT_EQ(read(connect(), 8), "booting\n");
}

TEST_F(ConsoleServiceTest, AnEnclaveWithoutAConsoleIsRefused) {
    EXPECT_TRUE(connect(Cid{17}).is_closed());
    service_.remove(kEnclave);
    EXPECT_TRUE(connect().is_closed());
    auto& below = sockets_.connect(Port{9999}, Cid::Hypervisor);
    EXPECT_TRUE(turn_until([&] { return below.is_closed(); }));
}

TEST_F(ConsoleServiceTest, AReaderThatOnlyReadsMayEndItsOwnDirection) {
    auto& stream = connect();
    stream.shutdown(shutdown_flag::SEND);
    turn_until([&] { return true; });
    writer_.write(as_byte_view("still here\n"));

    EXPECT_EQ(read(stream, 11), "still here\n");
}

TEST_F(ConsoleServiceTest, ReadersAreCappedAndSlowOnesGetEverythingThatIsThere) {
    const Bytes much(api::kConsoleDataBytes, 'x');
    writer_.write(much);
    std::vector<GuestStream*> streams;
    for (size_t i = 0; i < ConsoleService::kMaxReaders; ++i)
        streams.push_back(&connect());
    EXPECT_TRUE(connect().is_closed());

    writer_.write(much);
    EXPECT_GE(read(*streams[0], much.size()).size(), much.size());
}

}  // namespace
}  // namespace alcove::vsock
