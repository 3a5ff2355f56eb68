// SPDX-License-Identifier: Apache-2.0
#include "enclave/fabric_joins.hpp"

#include "api/vmm_messages.hpp"

namespace alcove::enclave {

namespace {

enum class Vmm { Awaited, There, Gone };

Vmm vmm_in(api::shim::Phase phase) {
    using api::shim::Phase;
    switch (phase) {
        case Phase::Gathering:
        case Phase::Copying:
        case Phase::Reserving:
            return Vmm::Awaited;
        case Phase::Starting:
        case Phase::Running:
        case Phase::Ready:
            return Vmm::There;
        case Phase::Stopping:
        case Phase::Ended:
            return Vmm::Gone;
    }
    return Vmm::Gone;
}

}  // namespace

Result<void> FabricJoins::join(api::shim::Phase phase, api::FabricPeer peer) {
    switch (vmm_in(phase)) {
        case Vmm::Awaited:
            if (waiting_.size() >= kMaxWaiting && !waiting_.contains(peer.cid))
                return fail(ErrorCode::LimitExceeded, "too many wait to be joined with this VM");
            waiting_.insert_or_assign(peer.cid, std::move(peer));
            return {};
        case Vmm::There: {
            auto message = api::vmm::encode_fabric_join(std::move(peer));
            send_(std::move(message.data), std::move(message.descriptors));
            return {};
        }
        case Vmm::Gone:
            break;
    }
    return fail(ErrorCode::EnclaveDied, "the VM has ended");
}

void FabricJoins::leave(api::shim::Phase phase, uint64_t peer_cid) {
    waiting_.erase(peer_cid);
    if (vmm_in(phase) == Vmm::There) send_(api::encode(api::vmm::FabricLeave{.peer_cid = peer_cid}), {});
}

void FabricJoins::launched() {
    for (auto& [cid, peer] : std::exchange(waiting_, {})) {
        auto message = api::vmm::encode_fabric_join(std::move(peer));
        send_(std::move(message.data), std::move(message.descriptors));
    }
}

}  // namespace alcove::enclave
