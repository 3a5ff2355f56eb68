// SPDX-License-Identifier: Apache-2.0
//
// Ports of the host, as the guest connects to them: the VMM cannot open anything, so it asks the shim for
// each and gets a connected socket or a refusal. At most kMaxPending wait at once; a guest that asks faster
// is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "api/vmm_messages.hpp"
#include "vsock/port_opener.hpp"

namespace alcove::vmm {

class ShimPorts : public vsock::PortOpener {
  public:
    static constexpr size_t kMaxPending = 1024;
    using Send = std::function<void(Bytes message)>;

    explicit ShimPorts(Send send) : send_(std::move(send)) {}

    void open(vsock::Port port, Done done) override;
    // The shim's answer; one that was not asked for is an error of the shim's.
    Result<void> answered(const api::vmm::OpenPortReply& reply, std::vector<Fd> descriptors);

  private:
    Send send_;
    uint32_t next_request_ = 1;
    std::unordered_map<uint32_t, Done> pending_;
};

}  // namespace alcove::vmm
