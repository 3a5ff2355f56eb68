// SPDX-License-Identifier: Apache-2.0
//
// A new line to the attestor in the place of one that ended: the VMM can open nothing, so it asks the shim,
// once for each line that it had.
#pragma once

#include <functional>

#include "api/vmm_messages.hpp"
#include "nsm/attestor_socket.hpp"

namespace alcove::vmm {

class AttestorLine {
  public:
    using Send = std::function<void(Bytes message)>;

    explicit AttestorLine(Send send) : send_(std::move(send)) {}

    void ask();
    // The shim's answer. One that was not asked for, or that comes without its descriptor, is an error of the
    // shim's.
    Result<void> answered(const api::vmm::AttestorLine& line, nsm::AttestorSocket& socket,
                          std::vector<Fd> descriptors);

  private:
    Send send_;
    bool asked_ = false;
};

}  // namespace alcove::vmm
