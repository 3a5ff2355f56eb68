// SPDX-License-Identifier: Apache-2.0
//
// The whole bridge in one process: the outer end and the agent on one event loop in a thread, joined by a
// socket pair instead of QEMU and a virtio-serial port; clients and servers are ordinary blocking sockets.
#include <atomic>
#include <cstdlib>
#include <thread>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "embedded/agent.hpp"
#include "embedded/outer_bridge.hpp"
#include "support/system.hpp"

namespace alcove::embedded {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string read_to_end(const Fd& socket) {
    std::string all;
    Bytes chunk(64 * 1024);
    while (true) {
        const auto transfer = sys::read_some(socket, chunk);
        if (!transfer || transfer->bytes == 0) return all;
        all.append(as_text(ByteView(chunk).first(transfer->bytes)));
    }
}

bool write_whole(const Fd& socket, ByteView bytes) {
    while (!bytes.empty()) {
        const auto transfer = sys::write_some(socket, bytes);
        if (!transfer) return false;
        bytes = bytes.subspan(transfer->bytes);
    }
    return true;
}

std::string pattern(size_t size, uint32_t seed) {
    std::string text(size, '\0');
    for (char& c : text)
        c = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
    return text;
}

class Bridge : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/alcove-bridge-test-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
        auto loop = EventLoop::create();
        ASSERT_TRUE(loop.has_value());
        loop_ = std::move(loop).value();
        connect_ends();
        thread_ = std::thread([this] { EXPECT_TRUE(loop_->run().has_value()); });
    }

    void TearDown() override {
        loop_->stop();
        thread_.join();
        outer_.reset();
        agent_.reset();
        for (auto& server : servers_)
            server.join();
        std::system(("rm -rf " + folder_).c_str());
    }

    void connect_ends() {
        auto wire = sys::socket_pair(SOCK_STREAM);
        ASSERT_TRUE(wire.has_value());
        auto agent = Agent::create_on(*loop_,
                                      {.port = "",
                                       .exec_command = {"false"},
                                       .handover_command = {"false"},
                                       .poweroff_command = {"false"}},
                                      std::move(wire->second));
        ASSERT_TRUE(agent.has_value());
        agent_ = std::move(agent).value();
        auto outer = OuterBridge::create(
            *loop_, {.folder = folder_, .forwards = {{"forward.sock", "unix:" + server_path()}}},
            std::move(wire->first), [this] { lost_ = true; });
        ASSERT_TRUE(outer.has_value()) << outer.error().to_string();
        outer_ = std::move(outer).value();
    }

    std::string server_path() const { return folder_ + "/server.sock"; }

    // A server of `count` connections, each handled by `handle` in a thread of its own.
    void serve(int count, std::function<void(Fd)> handle) {
        auto listener = sys::unix_listen(server_path(), SOCK_STREAM, 0600);
        ASSERT_TRUE(listener.has_value());
        servers_.emplace_back([listener = std::move(listener).value(), count, handle = std::move(handle)] {
            std::vector<std::thread> handlers;
            for (int i = 0; i < count; ++i) {
                auto client = sys::accept(listener);
                ASSERT_TRUE(client.has_value());
                handlers.emplace_back(
                    [&handle, fd = std::move(client).value()]() mutable { handle(std::move(fd)); });
            }
            for (auto& handler : handlers)
                handler.join();
        });
    }

    // Waits for the greeting, which takes a few rounds of the loop.
    Result<Fd> connect(const std::string& target) {
        for (int i = 0; i < 200; ++i) {
            auto stream = connect_through(folder_, target, seconds(5));
            if (stream || stream.error().code() != ErrorCode::Busy) return stream;
            std::this_thread::sleep_for(milliseconds(10));
        }
        return fail(ErrorCode::Timeout, "the bridge never got ready");
    }

    std::string folder_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<Agent> agent_;
    std::unique_ptr<OuterBridge> outer_;
    std::atomic<bool> lost_ = false;
    std::thread thread_;
    std::vector<std::thread> servers_;
};

TEST_F(Bridge, SocketsAreForTheirOwnerOnly) {
    for (const char* name : {"/connect.sock", "/forward.sock"}) {
        struct stat info {};
        ASSERT_EQ(::stat((folder_ + name).c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
    }
}

TEST_F(Bridge, TheAgentReportsItsStatus) {
    const auto stream = connect("status");
    ASSERT_TRUE(stream.has_value()) << stream.error().to_string();
    EXPECT_NE(read_to_end(*stream).find("\"memory_mib\""), std::string::npos);
}

TEST_F(Bridge, AnUnknownTargetIsRefusedWithItsName) {
    const auto stream = connect("nonsense");
    ASSERT_FALSE(stream.has_value());
    EXPECT_EQ(stream.error().code(), ErrorCode::InvalidArgument);
    EXPECT_NE(stream.error().message().find("nonsense"), std::string::npos);
}

TEST_F(Bridge, AServerThatIsNotThereIsRefused) {
    const auto stream = connect("unix:" + folder_ + "/nobody.sock");
    ASSERT_FALSE(stream.has_value());
    EXPECT_EQ(stream.error().code(), ErrorCode::NotFound);
}

TEST_F(Bridge, AForwardedSocketReachesItsServerWithoutAPreamble) {
    serve(1, [](Fd fd) {
        const std::string request = read_to_end(fd);
        EXPECT_TRUE(write_whole(fd, as_byte_view("got " + request)));
    });
    ASSERT_TRUE(connect("status").has_value());

    const auto client = sys::unix_connect(folder_ + "/forward.sock", SOCK_STREAM);
    ASSERT_TRUE(client.has_value());
    ASSERT_TRUE(write_whole(*client, as_byte_view("a request")));
    ::shutdown(client->get(), SHUT_WR);

    EXPECT_EQ(read_to_end(*client), "got a request");
}

TEST_F(Bridge, SixtyFourStreamsCarryTheirOwnBytesBothWays) {
    constexpr int kStreams = 64;
    constexpr size_t kSize = 700'001;
    serve(kStreams, [](Fd fd) {
        Bytes chunk(32 * 1024);
        while (true) {  // echo
            const auto transfer = sys::read_some(fd, chunk);
            if (!transfer || transfer->bytes == 0) return;
            if (!write_whole(fd, ByteView(chunk).first(transfer->bytes))) return;
        }
    });
    ASSERT_TRUE(connect("status").has_value());

    std::atomic<int> right = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < kStreams; ++i) {
        clients.emplace_back([&, i] {
            const auto stream = connect("unix:" + server_path());
            ASSERT_TRUE(stream.has_value()) << stream.error().to_string();
            const std::string sent = pattern(kSize, static_cast<uint32_t>(i));
            std::thread writer([&] {
                EXPECT_TRUE(write_whole(*stream, as_byte_view(sent)));
                ::shutdown(stream->get(), SHUT_WR);
            });
            if (read_to_end(*stream) == sent) ++right;
            writer.join();
        });
    }
    for (auto& client : clients)
        client.join();

    EXPECT_EQ(right, kStreams);
}

TEST_F(Bridge, AClientThatDoesNotReadDelaysNobodyElse) {
    // Its server ends after this function has.
    const auto stop = std::make_shared<std::atomic<bool>>(false);
    serve(2, [stop](Fd fd) {
        Bytes first(1);
        ASSERT_TRUE(sys::read_exact(fd, first).has_value());
        if (first[0] == 'q') {
            EXPECT_TRUE(write_whole(fd, as_byte_view(std::string(3'000'000, 'q'))));
            return;
        }
        ASSERT_TRUE(sys::set_non_blocking(fd, true).has_value());
        const std::string flood(64 * 1024, 'f');
        while (!*stop) {  // fills every buffer on the way
            if (const auto transfer = sys::write_some(fd, as_byte_view(flood)); !transfer) return;
            std::this_thread::sleep_for(milliseconds(1));
        }
    });
    const auto stuck = connect("unix:" + server_path());
    ASSERT_TRUE(stuck.has_value());
    ASSERT_TRUE(write_whole(*stuck, as_byte_view("f")));
    std::this_thread::sleep_for(milliseconds(200));

    const auto quick = connect("unix:" + server_path());
    ASSERT_TRUE(quick.has_value());
    ASSERT_TRUE(write_whole(*quick, as_byte_view("q")));

    EXPECT_EQ(read_to_end(*quick).size(), 3'000'000u);
    *stop = true;
}

TEST_F(Bridge, WhatAServerSaidBeforeItClosedArrivesThoughTheClientStillSends) {
    const std::string answer = pattern(2'000'000, 9);
    serve(1, [&](Fd fd) { EXPECT_TRUE(write_whole(fd, as_byte_view(answer))); });  // reads nothing
    const auto stream = connect("unix:" + server_path());
    ASSERT_TRUE(stream.has_value());
    std::atomic<bool> stop = false;
    std::thread writer([&] {
        const std::string more(16 * 1024, 'm');
        while (!stop && write_whole(*stream, as_byte_view(more))) {
        }
    });

    const std::string got = read_to_end(*stream);
    stop = true;
    ::shutdown(stream->get(), SHUT_RDWR);
    writer.join();

    EXPECT_EQ(got.size(), answer.size());
    EXPECT_TRUE(got == answer);
}

TEST_F(Bridge, AClientThatGoesAwayCutsOffAServerThatNeverEnds) {
    std::atomic<bool> cut_off = false;
    serve(1, [&](Fd fd) {
        const std::string flood(64 * 1024, 'f');
        while (write_whole(fd, as_byte_view(flood))) {
        }
        cut_off = true;
    });
    {
        const auto stream = connect("unix:" + server_path());
        ASSERT_TRUE(stream.has_value());
        Bytes some(1000);
        ASSERT_TRUE(sys::read_exact(*stream, some).has_value());
    }
    for (auto& server : servers_)
        server.join();
    servers_.clear();
    EXPECT_TRUE(cut_off);
}

// What the inner end says of the next connection to a socket that is served from outside.
std::string next_number(const Fd& listening) {
    std::string number;
    while (!number.ends_with('\n')) {
        Bytes one(1);
        if (!sys::read_exact(listening, one)) return "";
        number += static_cast<char>(one[0]);
    }
    return number.substr(0, number.size() - 1);
}

TEST_F(Bridge, ProgramsInsideReachAListenerOutside) {
    const std::string path = folder_ + "/port-7000.sock";
    const auto listening = connect("listen:" + path);
    ASSERT_TRUE(listening.has_value()) << listening.error().to_string();

    const auto one = sys::unix_connect(path, SOCK_STREAM).value();
    const auto two = sys::unix_connect(path, SOCK_STREAM).value();
    ASSERT_TRUE(write_whole(one, as_byte_view("first")));
    ASSERT_TRUE(write_whole(two, as_byte_view("second")));
    ::shutdown(one.get(), SHUT_WR);
    ::shutdown(two.get(), SHUT_WR);
    const auto first = connect("accepted:" + next_number(*listening));
    const auto second = connect("accepted:" + next_number(*listening));
    ASSERT_TRUE(first.has_value()) << first.error().to_string();
    ASSERT_TRUE(second.has_value()) << second.error().to_string();

    EXPECT_EQ(read_to_end(*first), "first");
    EXPECT_EQ(read_to_end(*second), "second");
    ASSERT_TRUE(write_whole(*first, as_byte_view("answer")));
    ::shutdown(first->get(), SHUT_WR);
    EXPECT_EQ(read_to_end(one), "answer");
}

TEST_F(Bridge, AListenerThatGoesAwayTakesItsSocketAndWhatWaitsWithIt) {
    const std::string path = folder_ + "/port-7000.sock";
    Fd waiting;
    std::string number;
    {
        const auto listening = connect("listen:" + path);
        ASSERT_TRUE(listening.has_value());
        EXPECT_EQ(connect("listen:" + path).error().code(), ErrorCode::AlreadyExists);
        waiting = sys::unix_connect(path, SOCK_STREAM).value();
        number = next_number(*listening);
    }

    EXPECT_EQ(read_to_end(waiting), "");
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
    EXPECT_EQ(connect("accepted:" + number).error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(connect("listen:" + path).has_value());
}

TEST_F(Bridge, AListenerLearnsThatItsFileIsGone) {
    const std::string path = folder_ + "/port-7000.sock";
    const auto listening = connect("listen:" + path);
    ASSERT_TRUE(listening.has_value());

    ::unlink(path.c_str());

    EXPECT_EQ(read_to_end(*listening), "");
}

TEST_F(Bridge, AConnectionThatWasNeverAcceptedCanNotBeFetched) {
    EXPECT_EQ(connect("accepted:1").error().code(), ErrorCode::NotFound);
    EXPECT_EQ(connect("accepted:").error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(connect("accepted:1x").error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(connect("listen:" + folder_ + "/none/port-1.sock").error().code(), ErrorCode::NotFound);
}

TEST_F(Bridge, StreamsEndWhenTheHostDoes) {
    serve(1, [](Fd fd) { EXPECT_EQ(read_to_end(fd), ""); });
    const auto stream = connect("unix:" + server_path());
    ASSERT_TRUE(stream.has_value());

    loop_->post([this] { agent_.reset(); });

    EXPECT_EQ(read_to_end(*stream), "");
    for (int i = 0; i < 200 && !lost_; ++i)
        std::this_thread::sleep_for(milliseconds(10));
    EXPECT_TRUE(lost_);
}

TEST_F(Bridge, ATargetOverTheLimitIsRefusedByTheClientsSide) {
    EXPECT_EQ(connect_through(folder_, std::string(kMaxTarget + 1, 'x'), seconds(1)).error().code(),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(connect_through(folder_, "two\nlines", seconds(1)).error().code(), ErrorCode::InvalidArgument);
}

TEST_F(Bridge, AClientThatSaysNothingUsefulIsClosed) {
    const auto client = sys::unix_connect(folder_ + "/connect.sock", SOCK_STREAM);
    ASSERT_TRUE(client.has_value());
    write_whole(*client, as_byte_view(std::string(kMaxTarget + 100, 'x')));
    EXPECT_EQ(read_to_end(*client), "");
}

}  // namespace
}  // namespace alcove::embedded
