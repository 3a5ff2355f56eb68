// SPDX-License-Identifier: Apache-2.0
#include "cli/relay.hpp"

#include <csignal>
#include <thread>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "cli/read_to_end_test.hpp"
#include "support/system.hpp"

namespace alcove::cli {
namespace {

// The VMM's end: reads the CONNECT line and answers.
std::string answer_connect(const Fd& vmm, std::string_view answer) {
    std::string line;
    while (!line.ends_with('\n')) {
        uint8_t byte = 0;
        sys::read_exact(vmm, {&byte, 1}).value();
        line += static_cast<char>(byte);
    }
    sys::write_all(vmm, as_byte_view(answer)).value();
    return line;
}

TEST(ConnectPort, TakesItsAnswerAndNotAByteMore) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    std::string line;
    std::thread vmm([&] { line = answer_connect(pair.second, "OK 1024\nhello"); });

    const auto connected = connect_port(pair.first, 5000);

    vmm.join();
    ASSERT_TRUE(connected) << connected.error().to_string();
    EXPECT_EQ(line, "CONNECT 5000\n");
    pair.second.reset();
    EXPECT_EQ(read_to_end(pair.first), "hello");
}

TEST(ConnectPort, ARefusalIsSaid) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    std::thread vmm([&] {
        answer_connect(pair.second, "");
        pair.second.reset();
    });

    const auto connected = connect_port(pair.first, 5000);

    vmm.join();
    EXPECT_EQ(connected.error().code(), ErrorCode::ConnectionLost);
}

TEST(ConnectPort, NonsenseIsRefused) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    std::thread vmm([&] { answer_connect(pair.second, std::string(100, 'x')); });

    EXPECT_EQ(connect_port(pair.first, 5000).error().code(), ErrorCode::InvalidMessage);

    vmm.join();
}

TEST(Relay, CarriesBothWaysAndHalfCloses) {
    auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto input = sys::pipe().value();
    auto output = sys::pipe().value();
    const std::string large(300'000, 'q');
    std::thread enclave([&] {
        // Answers only after the half-close, so a relay that forgets it hangs.
        const auto question = read_to_end(stream.second);
        sys::write_all(stream.second, as_byte_view("got " + std::to_string(question.size()))).value();
        stream.second.reset();
    });
    std::thread user([&] {
        sys::write_all(input.second, as_byte_view(large)).value();
        input.second.reset();
    });

    const auto done = relay(stream.first, input.first.get(), std::move(output.second));

    enclave.join();
    user.join();
    ASSERT_TRUE(done);
    EXPECT_EQ(read_to_end(output.first), "got 300000");
}

TEST(Relay, EndsWithTheStreamThoughInputGoesOn) {
    std::signal(SIGPIPE, SIG_IGN);
    auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto input = sys::pipe().value();
    auto output = sys::pipe().value();
    sys::write_all(stream.second, as_byte_view("bye")).value();
    stream.second.reset();

    const auto done = relay(stream.first, input.first.get(), std::move(output.second));

    ASSERT_TRUE(done);
    EXPECT_EQ(read_to_end(output.first), "bye");
}

TEST(Relay, AStreamThatOnlyEndedItsHalfIsStillWrittenTo) {
    auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto input = sys::pipe().value();
    auto output = sys::pipe().value();
    std::string answer;
    std::thread enclave([&] {
        sys::write_all(stream.second, as_byte_view("question")).value();
        ::shutdown(stream.second.get(), SHUT_WR);
        answer = read_to_end(stream.second);
    });
    std::thread user([&] {
        // Answers only once the question has ended, so a relay that keeps its output open hangs.
        EXPECT_EQ(read_to_end(output.first), "question");
        sys::write_all(input.second, as_byte_view("answer")).value();
        input.second.reset();
    });

    const auto done = relay(stream.first, input.first.get(), std::move(output.second));
    stream.first.reset();

    enclave.join();
    user.join();
    ASSERT_TRUE(done);
    EXPECT_EQ(answer, "answer");
}

TEST(Relay, NobodyToTakeTheOutputIsAnError) {
    std::signal(SIGPIPE, SIG_IGN);
    auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto input = sys::pipe().value();
    auto output = sys::pipe().value();
    output.first.reset();
    sys::write_all(stream.second, as_byte_view("lost")).value();

    EXPECT_EQ(relay(stream.first, input.first.get(), std::move(output.second)).error().errno_value(), EPIPE);
}

// Sends everything back, and does not read while nobody takes what it sends.
void echo(const Fd& socket) {
    Bytes buffer(65536);
    while (true) {
        const auto transfer = sys::read_some(socket, buffer);
        if (!transfer || transfer->bytes == 0) break;
        sys::write_all(socket, ByteView(buffer).first(transfer->bytes)).value();
    }
    ::shutdown(socket.get(), SHUT_WR);
}

TEST(Join, CarriesMuchBothWaysThroughAnEcho) {
    auto near = sys::socket_pair(SOCK_STREAM).value();
    auto far = sys::socket_pair(SOCK_STREAM).value();
    const std::string large(8'000'000, 'e');
    std::thread server([&] { echo(far.second); });
    std::thread writer([&] {
        sys::write_all(near.first, as_byte_view(large)).value();
        ::shutdown(near.first.get(), SHUT_WR);
    });
    Result<void> joined;
    std::thread middle([&] {
        joined = join(near.second, far.first);
        near.second.reset();
    });

    const std::string back = read_to_end(near.first);

    middle.join();
    writer.join();
    server.join();
    EXPECT_TRUE(joined);
    EXPECT_TRUE(back == large);
}

TEST(Join, EndsWhenOneSideIsGoneAltogether) {
    auto near = sys::socket_pair(SOCK_STREAM).value();
    auto far = sys::socket_pair(SOCK_STREAM).value();
    sys::write_all(near.first, as_byte_view("last words")).value();
    near.first.reset();

    const auto joined = join(near.second, far.first);

    ASSERT_TRUE(joined);
    far.first.reset();
    EXPECT_EQ(read_to_end(far.second), "last words");
}

}  // namespace
}  // namespace alcove::cli
