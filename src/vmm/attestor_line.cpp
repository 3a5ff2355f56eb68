// SPDX-License-Identifier: Apache-2.0
#include "vmm/attestor_line.hpp"

#include <utility>

#include "support/log.hpp"

namespace alcove::vmm {

using Status = api::vmm::AttestorLineStatus;

void AttestorLine::ask() {
    asked_ = true;
    send_(api::encode(api::vmm::AttestorLost{}));
}

Result<void> AttestorLine::answered(const api::vmm::AttestorLine& line, nsm::AttestorSocket& socket,
                                    std::vector<Fd> descriptors) {
    if (!std::exchange(asked_, false))
        return fail(ErrorCode::InvalidMessage, "the shim answered what was not asked");
    const auto status = static_cast<Status>(uint32_t{line.status});
    if (status == Status::Resumed && descriptors.size() == 1) {
        log::info("there is a line to the attestor again");
        return socket.replace(std::move(descriptors.front()));
    }
    if (status != Status::Gone || !descriptors.empty())
        return fail(ErrorCode::InvalidMessage, "a line to the attestor comes with one descriptor, or none");
    log::error("the attestor knows this VM no more: it has no attestation from now on");
    socket.give_up();
    return {};
}

}  // namespace alcove::vmm
