// SPDX-License-Identifier: Apache-2.0
#include "vmm/fabric_member.hpp"

#include <utility>

namespace alcove::vmm {

namespace {

// Consoles send and do not listen.
constexpr uint64_t kHypervisorBuffers = 1024 * 1024;

}  // namespace

FabricMember::FabricMember(EventLoop& loop, vsock::Cid guest_cid, api::VmRole role,
                           std::function<void()> on_heartbeat)
    : role_(role),
      consoles_(loop),
      fabric_(loop, {.guest_cid = guest_cid,
                     .link = {},
                     .on_peer_gone = [this](vsock::Cid peer) { consoles_.remove(peer); },
                     .on_heartbeat = std::move(on_heartbeat)}) {
    if (role != api::VmRole::Primary) return;
    hypervisor_ = std::make_unique<vsock::HostBackend>(
        loop, consoles_,
        vsock::HostBackend::Options{.guest_cid = guest_cid,
                                    .host_cids = {vsock::Cid::Hypervisor},
                                    .max_connections = 2 * vsock::ConsoleService::kMaxReaders,
                                    .buffer_budget = kHypervisorBuffers});
}

std::vector<vsock::Backend*> FabricMember::backends() {
    std::vector<vsock::Backend*> backends = {&fabric_};
    if (hypervisor_ != nullptr) backends.push_back(hypervisor_.get());
    return backends;
}

Result<void> FabricMember::join(api::FabricPeer peer) {
    const bool is_primary = role_ == api::VmRole::Primary;
    if ((peer.cid == api::kParentCid) == is_primary || (peer.console_ring.is_open() && !is_primary))
        return fail(ErrorCode::InvalidMessage, "no peer of this VM: " + std::to_string(peer.cid));
    const vsock::Cid cid{peer.cid};
    TRY(fabric_.join(cid, std::move(peer.end)));
    if (peer.console_ring.is_open()) consoles_.add(cid, std::move(peer.console_ring));
    return {};
}

void FabricMember::leave(uint64_t peer_cid) {
    fabric_.leave(vsock::Cid{peer_cid});
    consoles_.remove(vsock::Cid{peer_cid});
}

}  // namespace alcove::vmm
