// SPDX-License-Identifier: Apache-2.0
#include "vmm/attestor_line.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::vmm {
namespace {

namespace attestation = api::attestor;
using Status = api::vmm::AttestorLineStatus;
using std::chrono::milliseconds;

struct AttestorLineTest : testing::Test {
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    Channel attestor;  // its end
    std::vector<Bytes> sent;
    std::vector<Result<Bytes>> answers;
    AttestorLine line{[this](Bytes message) { sent.push_back(std::move(message)); }};
    std::unique_ptr<nsm::AttestorSocket> socket;

    AttestorLineTest() {
        auto first = make_line();
        socket = nsm::AttestorSocket::create(*loop, std::move(first[0]), {.on_lost = [this] {
                     line.ask();
                 }}).value();
    }
    // A line to a new attestor, as it comes with a message.
    std::vector<Fd> make_line() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        attestor = Channel(std::move(pair.first));
        std::vector<Fd> descriptors;
        descriptors.push_back(std::move(pair.second));
        return descriptors;
    }
    void lose() {
        attestor.release();
        run();
    }
    void run() {
        for (int i = 0; i < 4; ++i)
            ASSERT_TRUE(loop->run_once(milliseconds(1)));
    }
    Result<void> answer(Status status, std::vector<Fd> descriptors) {
        return line.answered({.status = static_cast<uint32_t>(status), .reserved = {}}, *socket,
                             std::move(descriptors));
    }
    void ask_attestor() {
        socket->ask(1, api::encode(attestation::Describe{.request = 1, .reserved = {}}),
                    [this](Result<Bytes> result) { answers.push_back(std::move(result)); });
    }
};

TEST_F(AttestorLineTest, ALostLineIsAskedForOnceAndReplaced) {
    lose();
    ask_attestor();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(api::decode<api::vmm::AttestorLost>(api::open_envelope(sent[0]).value()));

    ASSERT_TRUE(answer(Status::Resumed, make_line()));

    EXPECT_EQ(api::open_envelope(attestor.receive()->data)->type, attestation::Describe::kType);
    EXPECT_TRUE(socket->is_connected());
    EXPECT_EQ(sent.size(), 1U);
}

TEST_F(AttestorLineTest, WithoutHopeWhatWaitsFailsAndNobodyAsksAgain) {
    lose();
    ask_attestor();

    ASSERT_TRUE(answer(Status::Gone, {}));
    run();

    ASSERT_EQ(answers.size(), 1U);
    EXPECT_FALSE(answers[0]);
    EXPECT_EQ(sent.size(), 1U);
}

TEST_F(AttestorLineTest, AnswersThatMakeNoSenseAreErrors) {
    EXPECT_FALSE(answer(Status::Resumed, make_line())) << "nobody asked";
    lose();
    EXPECT_FALSE(answer(Status::Resumed, {}));
    line.ask();
    EXPECT_FALSE(answer(Status::Gone, make_line()));
    line.ask();
    EXPECT_FALSE(answer(Status{7}, {}));
}

}  // namespace
}  // namespace alcove::vmm
