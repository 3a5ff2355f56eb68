// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EEXIT": leaves the enclave for any address.
#include "sgx/entry.hpp"

namespace alcove::sgx {

Outcome<void> eexit(Call& call) {
    auto& regs = call.registers();
    TRY_LEAF(require(is_canonical(regs.rbx)));
    const auto tcs = TRY_LEAF(call.pin(call.inside().tcs));
    regs.rip = regs.rbx;
    regs.rcx = call.inside().aep;
    leave_enclave(call, tcs);
    return {};
}

}  // namespace alcove::sgx
