// SPDX-License-Identifier: Apache-2.0
//
// alcove-vmm: runs one VM. Started by alcove-broker as the child of a shim, as a user of its own, with its
// line to the shim at descriptor 3 and its vCPUs' place behind it (vmm/vcpu_places.hpp); everything else
// comes over that line. Of a primary VM the broker starts the parent of its lives (vmm/lives.hpp), and says
// so by the argument `lives`.
#include <cstdio>
#include <string_view>
#include <vector>

#include <fcntl.h>

#include "sandbox/process.hpp"
#include "support/log.hpp"
#include "vmm/lives.hpp"
#include "vmm/vm_process.hpp"

namespace {

using namespace alcove;
using vmm::VcpuPlaces;

// Not there when somebody else than the broker started it.
Fd inherited(int number) {
    return Fd(::fcntl(number, F_GETFD) < 0 ? -1 : number);
}

}  // namespace

int main(int argc, char** argv) {
    bool lives = false;
    std::string_view cores;
    for (const std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
        if (argument == "lives") {
            lives = true;
        } else if (argument.starts_with(VcpuPlaces::kCoresArgument)) {
            cores = argument.substr(VcpuPlaces::kCoresArgument.size());
        } else {
            std::fprintf(stderr, "alcove-vmm is started by alcove-broker\n");
            return 2;
        }
    }
    log::start("alcove-vmm");
    if (const auto hardened = sandbox::harden_process(); !hardened) {
        log::error("{}", hardened.error().to_string());
        return 1;
    }
    Channel shim{Fd(api::vmm::kChannelDescriptor)};
    auto places = VcpuPlaces::create(inherited(VcpuPlaces::kThreadsDescriptor),
                                     inherited(VcpuPlaces::kPartitionDescriptor), cores);
    if (!places) {
        log::error("{}", places.error().to_string());
        return 1;
    }
    const auto live = [&places](Channel channel) { return vmm::VmProcess::run(std::move(channel), *places); };
    const auto ran = lives ? vmm::run_lives(shim, live) : live(std::move(shim));
    if (ran) return 0;
    log::error("{}", ran.error().to_string());
    return 1;
}
