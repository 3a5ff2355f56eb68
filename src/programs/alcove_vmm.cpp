// SPDX-License-Identifier: Apache-2.0
//
// alcove-vmm: runs one enclave. Started by alcove-broker as the child of a shim, as a user of its own, with
// its line to the shim at descriptor 3. It takes no arguments: everything comes over that line.
#include <cstdio>

#include "support/log.hpp"
#include "vmm/enclave_vmm.hpp"
#include "vmm/sandbox.hpp"

int main(int argc, char**) {
    using namespace alcove;
    if (argc > 1) {
        std::fprintf(stderr, "alcove-vmm is started by alcove-broker and takes no arguments\n");
        return 2;
    }
    log::start("alcove-vmm");
    if (const auto hardened = vmm::harden_process(); !hardened) {
        log::error("{}", hardened.error().to_string());
        return 1;
    }
    const auto ran = vmm::EnclaveVmm::run(Channel(Fd(api::vmm::kChannelDescriptor)));
    if (ran) return 0;
    log::error("{}", ran.error().to_string());
    return 1;
}
