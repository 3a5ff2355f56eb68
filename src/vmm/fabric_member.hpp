// SPDX-License-Identifier: Apache-2.0
//
// What the VMM of a VM that is part of a fabric has behind its vsock device besides this host's programs: the
// other VMs, as alcoved joins them, and in a primary VM the consoles of its debug enclaves. Its peers come
// and go while the guest runs, so everything here works inside the sandbox.
#pragma once

#include <memory>
#include <vector>

#include "api/fabric_peer.hpp"
#include "vsock/console_service.hpp"
#include "vsock/fabric_backend.hpp"
#include "vsock/host_backend.hpp"

namespace alcove::vmm {

class FabricMember {
  public:
    // The loop is borrowed. `on_heartbeat`: an enclave's was answered by its primary VM; may be empty.
    FabricMember(EventLoop& loop, vsock::Cid guest_cid, api::VmRole role,
                 std::function<void()> on_heartbeat = {});

    // For the device.
    std::vector<vsock::Backend*> backends();
    // ErrorCode::InvalidMessage: an enclave's only peer is its primary VM, which is nobody's but its own.
    Result<void> join(api::FabricPeer peer);
    void leave(uint64_t peer_cid);

    const vsock::FabricBackend& fabric() const { return fabric_; }

  private:
    api::VmRole role_;
    vsock::ConsoleService consoles_;  // of a primary VM
    vsock::FabricBackend fabric_;
    std::unique_ptr<vsock::HostBackend> hypervisor_;  // ... context id 0, which serves them
};

}  // namespace alcove::vmm
