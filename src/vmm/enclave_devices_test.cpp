// SPDX-License-Identifier: Apache-2.0
#include "vmm/enclave_devices.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::vmm {
namespace {

// A host on which a program listens, or none.
class Programs : public vsock::PortOpener {
  public:
    void open(vsock::Port, Done done) override {
        ++asked;
        if (!listening) return done(fail(ErrorCode::NotFound, "nobody listens"));
        auto pair = sys::socket_pair(SOCK_STREAM).value();
        accepted = std::move(pair.first);
        done(std::move(pair.second));
    }
    bool listening = false;
    int asked = 0;
    Fd accepted;
};

struct EnclaveDevicesTest : testing::Test {
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    Programs programs;
    Fd attestor;  // its end
    std::vector<Bytes> sent;
    std::unique_ptr<EnclaveDevices> devices;

    void create(EnclaveParent parent) {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        attestor = std::move(pair.second);
        devices =
            EnclaveDevices::create(*loop, parent, programs, std::move(pair.first), [this](Bytes message) {
                sent.push_back(std::move(message));
            }).value();
    }
    // Whether the enclave's heartbeat would reach somebody.
    bool opens_heartbeat(Fd& socket) {
        bool opened = false;
        devices->ports().open(vsock::kHeartbeatPort, [&](Result<Fd> result) {
            opened = result.has_value();
            if (opened) socket = std::move(*result);
        });
        return opened;
    }
};

TEST_F(EnclaveDevicesTest, AHostAnswersTheHeartbeatOfItsOwnEnclaves) {
    create(EnclaveParent::Host);
    Fd socket;
    ASSERT_TRUE(opens_heartbeat(socket));

    ASSERT_TRUE(sys::write_all(socket, {{vsock::kHeartbeatByte}}));
    for (int i = 0; i < 4; ++i)
        ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(1)));

    ASSERT_EQ(sent.size(), 1U);
    const auto ready = api::decode<api::vmm::Ready>(api::open_envelope(sent[0]).value());
    ASSERT_TRUE(ready);
    EXPECT_EQ(ready->answered_by, static_cast<uint32_t>(api::vmm::ReadyAnsweredBy::Alcove));
}

TEST_F(EnclaveDevicesTest, AProgramThatListensAnswersTheHeartbeatAndThatIsTold) {
    create(EnclaveParent::Host);
    programs.listening = true;
    Fd socket;
    ASSERT_TRUE(opens_heartbeat(socket));

    ASSERT_TRUE(sys::write_all(socket, {{vsock::kHeartbeatByte}}));

    Bytes seen(1);
    ASSERT_TRUE(sys::read_exact(programs.accepted, seen));
    EXPECT_EQ(seen[0], vsock::kHeartbeatByte);
    ASSERT_EQ(sent.size(), 1U);
    const auto ready = api::decode<api::vmm::Ready>(api::open_envelope(sent[0]).value());
    ASSERT_TRUE(ready);
    EXPECT_EQ(ready->answered_by, static_cast<uint32_t>(api::vmm::ReadyAnsweredBy::HostProgram));
}

TEST_F(EnclaveDevicesTest, ThatOfACarvedEnclaveIsItsPrimaryVmsToAnswer) {
    create(EnclaveParent::PrimaryVm);
    Fd socket;

    EXPECT_FALSE(opens_heartbeat(socket));

    EXPECT_EQ(programs.asked, 1);
    EXPECT_TRUE(sent.empty());
}

}  // namespace
}  // namespace alcove::vmm
