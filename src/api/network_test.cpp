// SPDX-License-Identifier: Apache-2.0
#include "api/network.hpp"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::api {
namespace {

constexpr Network kTap{.mac = {2, 0, 0, 0, 0, 1}, .kind = 1, .reserved = 0};
constexpr Network kStream{.mac = {2, 0, 0, 0, 0, 2}, .kind = 2, .reserved = 0};

TEST(Networks, AreThoseOfAPrimaryVmWithoutAGap) {
    EXPECT_TRUE(are_networks_of(VmRole::Primary, {}));
    EXPECT_TRUE(are_networks_of(VmRole::Enclave, {}));
    EXPECT_TRUE(are_networks_of(VmRole::Primary, {kTap, kStream}));
    EXPECT_EQ(network_count({kTap, kStream}), 2U);

    EXPECT_FALSE(are_networks_of(VmRole::Enclave, {kTap})) << "of an enclave";
    EXPECT_FALSE(are_networks_of(VmRole::Primary, {Network{}, kTap})) << "a gap";
}

TEST(Networks, EachIsCheckedByItself) {
    const Network wrong[] = {
        {.mac = kTap.mac, .kind = 3, .reserved = 0},            // unknown
        {.mac = kTap.mac, .kind = 1, .reserved = 1},            //
        {.mac = kTap.mac, .kind = 0, .reserved = 0},            // an address of nothing
        {.mac = {}, .kind = 1, .reserved = 0},                  // no address
        {.mac = {3, 0, 0, 0, 0, 1}, .kind = 1, .reserved = 0},  // a group's
    };
    for (const auto& network : wrong)
        EXPECT_FALSE(are_networks_of(VmRole::Primary, {network})) << &network - std::begin(wrong);
}

TEST(Networks, TheDescriptorIsWhatItsKindSays) {
    const auto stream = sys::socket_pair(SOCK_STREAM).value();
    const auto packets = sys::socket_pair(SOCK_SEQPACKET).value();
    const auto pipe = sys::pipe().value();
    const Fd datagrams(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const Fd internet(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    EXPECT_TRUE(check_network(stream.first, NetworkKind::Stream));
    for (const auto* other : {&packets.first, &pipe.first, &datagrams, &internet}) {
        EXPECT_FALSE(check_network(*other, NetworkKind::Stream));
        EXPECT_FALSE(check_network(*other, NetworkKind::Tap));
    }
    EXPECT_FALSE(check_network(stream.first, NetworkKind::Tap));
}

TEST(Networks, AListeningSocketIsNoLink) {
    const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr address{.sa_family = AF_UNIX, .sa_data = {}};
    ASSERT_EQ(::bind(listener.get(), &address, sizeof address.sa_family), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);

    EXPECT_FALSE(check_network(listener, NetworkKind::Stream));
}

}  // namespace
}  // namespace alcove::api
