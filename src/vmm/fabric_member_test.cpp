// SPDX-License-Identifier: Apache-2.0
#include "vmm/fabric_member.hpp"

#include <fcntl.h>

#include <gtest/gtest.h>

#include "sandbox/child_for_tests.hpp"
#include "sandbox/process.hpp"
#include "support/system.hpp"
#include "vmm/sandbox.hpp"

namespace alcove::vmm {
namespace {

api::FabricPeer make_peer(uint64_t cid) {
    return {.cid = cid, .end = api::make_fabric_pair().value().first, .console_ring = {}};
}

api::FabricPeer make_debug_peer(uint64_t cid) {
    auto peer = make_peer(cid);
    const auto ring = api::make_console_ring().value();
    peer.console_ring = sys::open("/proc/self/fd/" + std::to_string(ring.get()), O_RDONLY).value();
    return peer;
}

TEST(FabricMember, APrimaryVmHasEnclavesAndAnEnclaveItsPrimaryVm) {
    const auto loop = EventLoop::create().value();
    FabricMember primary(*loop, vsock::Cid::Parent, api::VmRole::Primary);
    FabricMember enclave(*loop, vsock::Cid{16}, api::VmRole::Enclave);

    EXPECT_TRUE(primary.join(make_debug_peer(16)));
    EXPECT_TRUE(enclave.join(make_peer(3)));
    EXPECT_EQ(primary.join(make_peer(3)).error().code(), ErrorCode::InvalidMessage);
    EXPECT_EQ(enclave.join(make_peer(17)).error().code(), ErrorCode::InvalidMessage);
    EXPECT_EQ(enclave.join(make_debug_peer(3)).error().code(), ErrorCode::InvalidMessage);
    EXPECT_TRUE(primary.fabric().serves(vsock::Cid{16}));
    EXPECT_EQ(primary.backends().size(), 2U);
    EXPECT_EQ(enclave.backends().size(), 1U) << "the hypervisor serves nothing to it";
}

TEST(FabricMember, PeersAreJoinedAndConsolesReadInTheSandbox) {
    const int status = sandbox::status_of_child([] {
        const auto loop = EventLoop::create().value();
        FabricMember primary(*loop, vsock::Cid::Parent, api::VmRole::Primary);
        auto peer = make_debug_peer(16);
        if (!sandbox::harden_process() || !enter_sandbox(api::VmRole::Primary)) ::_exit(99);
        if (!primary.join(std::move(peer))) ::_exit(1);
        (void)loop->run_once(std::chrono::milliseconds(0));
        primary.leave(16);
        (void)loop->run_once(std::chrono::milliseconds(0));
        ::_exit(0);
    });

    EXPECT_TRUE(sandbox::exited_with(status, 0)) << status;
}

TEST(FabricMember, AnEnclaveJoinsInTheSandbox) {
    const int status = sandbox::status_of_child([] {
        const auto loop = EventLoop::create().value();
        FabricMember enclave(*loop, vsock::Cid{16}, api::VmRole::Enclave);
        auto peer = make_peer(3);
        if (!sandbox::harden_process() || !enter_sandbox(api::VmRole::Enclave)) ::_exit(99);
        if (!enclave.join(std::move(peer))) ::_exit(1);
        (void)loop->run_once(std::chrono::milliseconds(0));
        ::_exit(0);
    });

    EXPECT_TRUE(sandbox::exited_with(status, 0)) << status;
}

}  // namespace
}  // namespace alcove::vmm
