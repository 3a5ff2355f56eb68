// SPDX-License-Identifier: Apache-2.0
//
// alcove-vmm: runs one VM. Started by alcove-broker as the child of a shim, as a user of its own, with its
// line to the shim at descriptor 3; everything else comes over that line. Of a primary VM the broker starts
// the parent of its lives (vmm/lives.hpp), and says so by the only argument there is.
#include <cstdio>
#include <string_view>

#include "sandbox/process.hpp"
#include "support/log.hpp"
#include "vmm/lives.hpp"
#include "vmm/vm_process.hpp"

int main(int argc, char** argv) {
    using namespace alcove;
    const bool lives = argc == 2 && std::string_view(argv[1]) == "lives";
    if (argc > 1 && !lives) {
        std::fprintf(stderr, "alcove-vmm is started by alcove-broker\n");
        return 2;
    }
    log::start("alcove-vmm");
    if (const auto hardened = sandbox::harden_process(); !hardened) {
        log::error("{}", hardened.error().to_string());
        return 1;
    }
    Channel shim{Fd(api::vmm::kChannelDescriptor)};
    const auto ran = lives ? vmm::run_lives(shim, vmm::VmProcess::run) : vmm::VmProcess::run(std::move(shim));
    if (ran) return 0;
    log::error("{}", ran.error().to_string());
    return 1;
}
