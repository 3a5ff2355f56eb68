// SPDX-License-Identifier: Apache-2.0
//
// One other VM that a VM is joined with, on its way to the VMM: the same in the messages of alcoved to the
// shim and of the shim to the VMM.
#pragma once

#include <vector>

#include "api/fabric_ring.hpp"
#include "api/vm_role.hpp"

namespace alcove::api {

struct FabricPeer {
    static constexpr uint32_t kConsole = 1;  // of the messages' flags: the console's ring comes along

    uint64_t cid = 0;
    FabricEnd end;
    Fd console_ring;  // of a debug enclave, for its primary VM: open for reading (api/console_ring.hpp)

    uint32_t flags() const { return console_ring.is_open() ? kConsole : 0; }
    // In the order on the wire: own ring, peer's ring, doorbell, console ring.
    static std::vector<Fd> to_descriptors(FabricPeer peer);
    // ErrorCode::InvalidMessage: no such peer, unknown flags, or other descriptors than they say.
    static Result<FabricPeer> from_message(uint64_t cid, uint32_t flags, std::vector<Fd> descriptors);
};

constexpr bool is_fabric_cid(uint64_t cid) {
    return cid == kParentCid || is_guest_cid(cid);
}

}  // namespace alcove::api
