// SPDX-License-Identifier: Apache-2.0
#include "cli/relay.hpp"

#include <csignal>
#include <thread>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::cli {
namespace {

std::string read_to_end(const Fd& fd) {
    std::string text;
    Bytes buffer(65536);
    while (true) {
        const auto transfer = sys::read_some(fd, buffer);
        if (!transfer || transfer->bytes == 0) return text;
        text += as_text(ByteView(buffer).first(transfer->bytes));
    }
}

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

    const auto done = relay(stream.first, input.first.get(), output.second.get());

    enclave.join();
    user.join();
    ASSERT_TRUE(done);
    output.second.reset();
    EXPECT_EQ(read_to_end(output.first), "got 300000");
}

TEST(Relay, EndsWithTheStreamThoughInputGoesOn) {
    std::signal(SIGPIPE, SIG_IGN);
    auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto input = sys::pipe().value();
    auto output = sys::pipe().value();
    sys::write_all(stream.second, as_byte_view("bye")).value();
    stream.second.reset();

    const auto done = relay(stream.first, input.first.get(), output.second.get());

    ASSERT_TRUE(done);
    output.second.reset();
    EXPECT_EQ(read_to_end(output.first), "bye");
}

}  // namespace
}  // namespace alcove::cli
