// SPDX-License-Identifier: Apache-2.0
#include "vmm/shim_ports.hpp"

#include <utility>

namespace alcove::vmm {

void ShimPorts::open(vsock::Port port, Done done) {
    if (pending_.size() >= kMaxPending) {
        done(fail(ErrorCode::LimitExceeded, "too many connections are being opened"));
        return;
    }
    const uint32_t request = next_request_++;
    pending_.emplace(request, std::move(done));
    send_(api::encode(api::vmm::OpenPort{.request = request, .port = static_cast<uint32_t>(port)}));
}

Result<void> ShimPorts::answered(const api::vmm::OpenPortReply& reply, std::vector<Fd> descriptors) {
    auto waiting = pending_.extract(reply.request);
    if (!waiting) return fail(ErrorCode::InvalidMessage, "the shim answered what was not asked");
    switch (static_cast<api::vmm::OpenPortStatus>(uint32_t{reply.status})) {
        case api::vmm::OpenPortStatus::Connected:
            if (descriptors.size() != 1)
                return fail(ErrorCode::InvalidMessage, "a connected port comes with one descriptor");
            waiting.mapped()(std::move(descriptors[0]));
            return {};
        case api::vmm::OpenPortStatus::Refused:
            waiting.mapped()(fail(ErrorCode::NotFound, "nobody listens"));
            return {};
        case api::vmm::OpenPortStatus::TooMany:
            waiting.mapped()(fail(ErrorCode::LimitExceeded, "too many connections"));
            return {};
    }
    return fail(ErrorCode::InvalidMessage, "unknown status of a port");
}

}  // namespace alcove::vmm
