// SPDX-License-Identifier: Apache-2.0
#include "vmm/shim_ports.hpp"

#include <vector>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::vmm {
namespace {

using api::vmm::OpenPortReply;
using api::vmm::OpenPortStatus;

struct ShimPortsTest : testing::Test {
    size_t sent = 0;
    std::vector<Result<Fd>> opened;
    ShimPorts ports{[this](Bytes) { ++sent; }};

    void open(uint32_t port) {
        ports.open(vsock::Port{port}, [this](Result<Fd> result) { opened.push_back(std::move(result)); });
    }
    static OpenPortReply reply(uint32_t request, OpenPortStatus status) {
        return {.request = request, .port = 7, .status = static_cast<uint32_t>(status), .reserved = 0};
    }
};

TEST_F(ShimPortsTest, AConnectedPortBringsItsSocket) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    const int number = pair.first.get();
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(pair.first));
    open(7);

    ASSERT_TRUE(ports.answered(reply(1, OpenPortStatus::Connected), std::move(descriptors)));

    ASSERT_EQ(opened.size(), 1U);
    EXPECT_EQ(opened[0].value().get(), number);
}

TEST_F(ShimPortsTest, RefusalsAreTold) {
    open(7);
    open(8);

    ASSERT_TRUE(ports.answered(reply(2, OpenPortStatus::TooMany), {}));
    ASSERT_TRUE(ports.answered(reply(1, OpenPortStatus::Refused), {}));

    ASSERT_EQ(opened.size(), 2U);
    EXPECT_EQ(opened[0].error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(opened[1].error().code(), ErrorCode::NotFound);
}

TEST_F(ShimPortsTest, AnswersToNothingAreErrors) {
    EXPECT_FALSE(ports.answered(reply(1, OpenPortStatus::Refused), {}));
    open(7);
    EXPECT_FALSE(ports.answered(reply(1, OpenPortStatus::Connected), {}));
}

TEST_F(ShimPortsTest, AGuestThatAsksTooFastIsRefusedWithoutAsking) {
    for (uint32_t i = 0; i <= ShimPorts::kMaxPending; ++i)
        open(i);

    EXPECT_EQ(sent, ShimPorts::kMaxPending);
    ASSERT_EQ(opened.size(), 1U);
    EXPECT_EQ(opened[0].error().code(), ErrorCode::LimitExceeded);
}

}  // namespace
}  // namespace alcove::vmm
