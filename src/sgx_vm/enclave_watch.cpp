// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/enclave_watch.hpp"

#include <algorithm>
#include <utility>

namespace alcove::sgx_vm {

void EnclaveWatch::start(std::function<void()> ask, std::function<void(uint32_t)> kick) {
    ask_ = std::move(ask);
    kick_ = std::move(kick);
}

void EnclaveWatch::entered(uint32_t vcpu) {
    inside_.at(vcpu) = true;
    if (ask_ && !watching_.exchange(true)) ask_();
}

void EnclaveWatch::left(uint32_t vcpu) {
    inside_.at(vcpu) = false;
}

bool EnclaveWatch::look() {
    bool anybody = false;
    for (uint32_t vcpu = 0; vcpu < inside_.size(); ++vcpu) {
        if (!inside_[vcpu]) continue;
        kick_(vcpu);
        anybody = true;
    }
    if (anybody) return true;
    watching_ = false;
    const auto is_inside = [](const std::atomic<bool>& inside) { return inside.load(); };
    return std::any_of(inside_.begin(), inside_.end(), is_inside) && !watching_.exchange(true);
}

}  // namespace alcove::sgx_vm
