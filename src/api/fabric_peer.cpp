// SPDX-License-Identifier: Apache-2.0
#include "api/fabric_peer.hpp"

namespace alcove::api {

std::vector<Fd> FabricPeer::to_descriptors(FabricPeer peer) {
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(peer.end.own_ring));
    descriptors.push_back(std::move(peer.end.peer_ring));
    descriptors.push_back(std::move(peer.end.doorbell));
    if (peer.console_ring.is_open()) descriptors.push_back(std::move(peer.console_ring));
    return descriptors;
}

Result<FabricPeer> FabricPeer::from_message(uint64_t cid, uint32_t flags, std::vector<Fd> descriptors) {
    const bool has_console = (flags & kConsole) != 0;
    if (!is_fabric_cid(cid) || (flags & ~kConsole) != 0)
        return fail(ErrorCode::InvalidMessage, "no peer of a fabric, or unknown flags");
    if (descriptors.size() != (has_console ? 4 : 3))
        return fail(ErrorCode::InvalidMessage,
                    "a peer of a fabric with " + std::to_string(descriptors.size()) + " descriptors");
    FabricPeer peer{.cid = cid,
                    .end = {.own_ring = std::move(descriptors[0]),
                            .peer_ring = std::move(descriptors[1]),
                            .doorbell = std::move(descriptors[2])},
                    .console_ring = {}};
    if (has_console) peer.console_ring = std::move(descriptors[3]);
    return peer;
}

}  // namespace alcove::api
