// SPDX-License-Identifier: Apache-2.0
//
// Whom this VM is joined with, on the way from alcoved to the VMM. Nothing stays here but what comes before
// there is a VMM to have it; of a primary VM, that is between two lives as well.
#pragma once

#include <functional>
#include <map>

#include "api/fabric_peer.hpp"
#include "api/shim_messages.hpp"
#include "support/bytes.hpp"

namespace alcove::enclave {

class FabricJoins {
  public:
    static constexpr size_t kMaxWaiting = 64;
    using SendToVmm = std::function<void(Bytes message, std::vector<Fd> descriptors)>;

    explicit FabricJoins(SendToVmm send) : send_(std::move(send)) {}

    // In the phase that the VM is in. ErrorCode::EnclaveDied when it has ended or is about to,
    // ErrorCode::LimitExceeded when too many wait.
    Result<void> join(api::shim::Phase phase, api::FabricPeer peer);
    void leave(api::shim::Phase phase, uint64_t peer_cid);
    // The VMM has been sent its launch.
    void launched();
    // There will be none.
    void give_back() { waiting_.clear(); }

  private:
    SendToVmm send_;
    std::map<uint64_t, api::FabricPeer> waiting_;  // by context id
};

}  // namespace alcove::enclave
