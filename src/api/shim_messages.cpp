// SPDX-License-Identifier: Apache-2.0
#include "api/shim_messages.hpp"

namespace alcove::api::shim {

std::string port_socket_name(uint32_t port) {
    return "port-" + std::to_string(port) + ".sock";
}

std::optional<Phase> phase_from(uint32_t value) {
    if (value < static_cast<uint32_t>(Phase::Copying) || value > static_cast<uint32_t>(Phase::Gathering))
        return std::nullopt;
    return static_cast<Phase>(value);
}

Channel::Message encode_fabric_join(uint32_t request, FabricPeer peer) {
    const FabricJoin join{.request = request, .flags = peer.flags(), .peer_cid = peer.cid};
    return {.data = encode(join), .descriptors = FabricPeer::to_descriptors(std::move(peer))};
}

Result<FabricPeer> decode_fabric_join(const Envelope& envelope, std::vector<Fd> descriptors) {
    const auto join = TRY(decode<FabricJoin>(envelope));
    return FabricPeer::from_message(join.peer_cid, join.flags, std::move(descriptors));
}

}  // namespace alcove::api::shim
