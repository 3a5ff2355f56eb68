// SPDX-License-Identifier: Apache-2.0
//
// Connections over a pair of sockets, with the test as the host.
#include "probe/service.hpp"

#include <thread>

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "probe/nsm_message.hpp"
#include "probe/pattern.hpp"
#include "support/system.hpp"

namespace alcove::probe {
namespace {

std::string read_to_end(const Fd& socket) {
    std::string all;
    Bytes piece(65536);
    for (size_t count = 1; count > 0;) {
        count = sys::read_some(socket, piece).value().bytes;
        all += as_text(ByteView(piece).first(count));
    }
    return all;
}

// Sends all of it and ends writing; what comes back until the end.
std::string conversation(std::string_view sent, const Surroundings& surroundings = {}) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    std::thread server([&surroundings, socket = std::move(pair.second)]() mutable {
        Channel channel = Channel::over_socket(std::move(socket));
        static_cast<void>(serve(channel, surroundings));
    });
    std::thread writer([&] {
        static_cast<void>(sys::write_all(pair.first, as_byte_view(sent)));
        shutdown(pair.first.get(), SHUT_WR);
    });
    const std::string answer = read_to_end(pair.first);
    writer.join();
    server.join();
    return answer;
}

TEST(ProbeService, EchoGivesBackWhatFollowsTheLine) {
    EXPECT_EQ(conversation("echo\nabc\ndef"), "abc\ndef");
    const std::string large(300000, 'x');
    EXPECT_EQ(conversation("echo\n" + large), large);
}

TEST(ProbeService, SinkAnswersWithLengthAndSha256) {
    // FIPS 180-4's example, "abc".
    EXPECT_EQ(conversation("sink\nabc"),
              "3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
    EXPECT_EQ(conversation("sink\n"), "0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
}

TEST(ProbeService, DiscardAnswersWithTheLengthOnly) {
    EXPECT_EQ(conversation("discard\nabc"), "3\n");
    EXPECT_EQ(conversation("discard\n" + std::string(300000, 'x')), "300000\n");
}

TEST(ProbeService, SourceSendsThePattern) {
    const std::string got = conversation("source 70000 9\n");
    const Pattern pattern(9);
    EXPECT_EQ(got, std::string(as_text(pattern.at(0))) + std::string(as_text(pattern.at(65536).first(4464))));
    EXPECT_EQ(conversation("source 70000 9 64\n"), got);
}

TEST(ProbeService, ReportIsGivenAsItIs) {
    EXPECT_EQ(conversation("report\n", {.report = "ok a\ndone\n", .connect = {}}), "ok a\ndone\n");
}

TEST(ProbeService, ConnectSendsThePatternOfThePortAndRelaysTheAnswer) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    uint32_t asked_cid = 0;
    uint32_t asked_port = 0;
    std::string parent_got;
    std::thread parent([&] {
        parent_got = read_to_end(pair.first);
        static_cast<void>(sys::write_all(pair.first, as_byte_view("well done\nrest")));
    });
    const Surroundings surroundings{.report = "", .connect = [&](uint32_t cid, uint32_t port) -> Result<Fd> {
                                        asked_cid = cid;
                                        asked_port = port;
                                        return std::move(pair.second);
                                    }};
    EXPECT_EQ(conversation("connect 7000 100\n", surroundings), "well done\n");
    parent.join();
    EXPECT_EQ(asked_cid, 3u);
    EXPECT_EQ(asked_port, 7000u);
    EXPECT_EQ(parent_got, std::string(as_text(Pattern(7000).at(0).first(100))));
}

TEST(ProbeService, ReachConnectsToAnybodyAndLetsGo) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    const Surroundings surroundings{.report = "", .connect = [&](uint32_t cid, uint32_t port) -> Result<Fd> {
                                        EXPECT_EQ(cid, 16u);
                                        EXPECT_EQ(port, 7000u);
                                        return std::move(pair.second);
                                    }};
    EXPECT_EQ(conversation("reach 16 7000\n", surroundings), "reached\n");
    EXPECT_EQ(read_to_end(pair.first), "");
}

TEST(ProbeService, ConnectTellsWhyItCanNot) {
    const Surroundings surroundings{.report = "", .connect = [](uint32_t, uint32_t) -> Result<Fd> {
                                        return fail_errno(ECONNRESET, "port");
                                    }};
    EXPECT_TRUE(conversation("connect 7000 1\n", surroundings).starts_with("FAILED port"));
    EXPECT_TRUE(conversation("reach 16 7000\n", surroundings).starts_with("FAILED port"));
}

// Answers every request with the same reply, and counts them.
class OneReply final : public secure_module::SecureModule {
  public:
    OneReply(std::string_view name, int& asked) : asked_(asked) { reply_ = encode_plain_request(name); }
    Result<Bytes> ask(ByteView) override {
        ++asked_;
        return reply_;
    }

  private:
    Bytes reply_;
    int& asked_;
};

std::string attest_with_replies_called(std::string_view name, int& asked) {
    const Surroundings surroundings{
        .report = "",
        .connect = {},
        .open_module = [&]() -> Result<std::unique_ptr<secure_module::SecureModule>> {
            return std::unique_ptr<secure_module::SecureModule>(std::make_unique<OneReply>(name, asked));
        }};
    return conversation("attest 5\n", surroundings);
}

TEST(ProbeService, AttestAsksForThatManyDocumentsAndTellsTheTime) {
    int asked = 0;
    EXPECT_THAT(attest_with_replies_called("Attestation", asked), testing::MatchesRegex("5 [0-9]+\n"));
    EXPECT_EQ(asked, 5);
}

TEST(ProbeService, AttestSaysWhenTheAnswerIsNoDocument) {
    int asked = 0;
    EXPECT_THAT(attest_with_replies_called("DescribeNSM", asked), testing::StartsWith("FAILED "));
    EXPECT_EQ(asked, 1);
}

TEST(ProbeService, LinesThatAreNoCommandAreRefused) {
    EXPECT_TRUE(conversation("nonsense\n").starts_with("FAILED "));
    EXPECT_TRUE(conversation("echo").starts_with("FAILED "));
    EXPECT_TRUE(conversation(std::string(5000, 'x')).starts_with("FAILED "));
}

TEST(ProbeServiceDeathTest, ExitAndAbortEndTheProgram) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(conversation("exit 42\n"), testing::ExitedWithCode(42), "");
    EXPECT_EXIT(conversation("abort\n"), testing::KilledBySignal(SIGABRT), "");
}

}  // namespace
}  // namespace alcove::probe
