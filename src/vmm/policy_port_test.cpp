// SPDX-License-Identifier: Apache-2.0
#include "vmm/policy_port.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "api/ne_messages.hpp"
#include "support/system.hpp"

namespace alcove::vmm {
namespace {

using api::ne::Policy;

// Nobody of the host listens anywhere.
struct DeafHost : vsock::PortOpener {
    void open(vsock::Port port, Done done) override {
        ports.push_back(port);
        done(fail(ErrorCode::NotFound, "nobody listens"));
    }
    std::vector<vsock::Port> ports;
};

class PolicyPortTest : public testing::Test {
  protected:
    Fd connect() {
        Fd socket;
        port.open(kPolicyPort, [&](Result<Fd> opened) {
            if (opened) socket = std::move(*opened);
        });
        return socket;
    }
    void run() {
        while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
    }
    // What a client hears before its connection is closed.
    std::string say(const Fd& socket, std::string_view text) {
        EXPECT_TRUE(sys::write_all(socket, as_byte_view(text)));
        run();
        Bytes bytes(1024);
        std::string heard;
        while (true) {
            const auto transfer = sys::read_some(socket, bytes);
            if (!transfer || transfer->bytes == 0) return heard;
            heard += as_text(ByteView(bytes).first(transfer->bytes));
        }
    }

    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    DeafHost programs;
    std::vector<uint32_t> asked;
    Result<uint32_t> outcome{uint32_t{Policy::kDedicated}};
    PolicyPort port{*loop, programs, [this](uint32_t wanted, const auto& answered) {
                        asked.push_back(wanted);
                        answered(outcome);
                    }};
};

TEST_F(PolicyPortTest, SaysAndSetsThePolicy) {
    EXPECT_EQ(say(connect(), "policy\n"), "ok dedicated\n");
    outcome = uint32_t{Policy::kShared};
    EXPECT_EQ(say(connect(), "policy shared\n"), "ok shared\n");
    EXPECT_EQ(say(connect(), "policy dedicated\n"), "ok shared\n") << "what holds, whatever was asked for";

    EXPECT_EQ(asked, (std::vector<uint32_t>{Policy::kAsk, Policy::kShared, Policy::kDedicated}));
    EXPECT_EQ(port.client_count(), 0U);
}

TEST_F(PolicyPortTest, ARefusalIsSaidWithItsReason) {
    outcome = fail(ErrorCode::Unsupported, "no core scheduling");

    EXPECT_EQ(say(connect(), "policy shared\n"), "error unsupported no core scheduling\n");
}

TEST_F(PolicyPortTest, NonsenseAsksNobody) {
    for (const char* line :
         {"\n", "policy \n", "policy SHARED\n", "policyshared\n", "0123456789012345678901234567890123"})
        EXPECT_EQ(say(connect(), line), "error invalid-argument the line is no question\n") << line;

    EXPECT_TRUE(asked.empty());
}

TEST_F(PolicyPortTest, ClientsThatSayNothingAreFew) {
    std::vector<Fd> silent;
    for (size_t i = 0; i < PolicyPort::kMaxClients; ++i)
        silent.push_back(connect());

    EXPECT_FALSE(connect().is_open());
    silent.clear();
    run();
    EXPECT_TRUE(connect().is_open());
}

TEST_F(PolicyPortTest, OtherPortsAreThePrograms) {
    bool refused = false;
    port.open(vsock::Port{7}, [&](const Result<Fd>& opened) { refused = !opened; });

    EXPECT_TRUE(refused);
    EXPECT_EQ(programs.ports, std::vector{vsock::Port{7}});
}

}  // namespace
}  // namespace alcove::vmm
