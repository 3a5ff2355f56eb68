// SPDX-License-Identifier: Apache-2.0
#include "cli/enclave_launch.hpp"

#include <algorithm>

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "cli/egress_process.hpp"
#include "cli/vm_access.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastMemoryMib = 256;

}  // namespace

uint64_t default_memory_mib(uint64_t image_bytes) {
    const uint64_t mib = align_up<uint64_t>(image_bytes / 1_MiB * 4 + 4, 2);
    return std::max(mib, kLeastMemoryMib);
}

Result<Launched> launch_enclave(const EnclaveRun& command, HostAccess& host, Interruption& interruption,
                                Progress& progress) {
    const auto image = TRY(sys::open(command.image, O_RDONLY));
    const uint64_t bytes = TRY(sys::file_size(image).context(command.image));
    const auto handed = TRY(host.hand_over(image));
    if (interruption.happened()) return interrupted("nothing was started");
    Json body = {{"image", handed.reference()},
                 {"vcpus", command.vcpus},
                 {"memory_mib", command.memory_mib.value_or(default_memory_mib(bytes))},
                 {"pages", command.pages},
                 {"policy", command.policy},
                 {"debug", command.debug}};
    if (!command.cpus.empty()) body["cpus"] = command.cpus;
    if (!command.name.empty()) body["name"] = command.name;
    if (command.cid) body["cid"] = *command.cid;
    auto created = TRY(host.api().post("/v1/enclaves", body));
    auto first = TRY(read_vm(created));
    if (!command.egress.empty()) {
        const auto begun = start_egress_in_background(first.id, host.kind(), command.egress);
        if (!begun) {
            (void)take_back(host.api(), VmKind::Enclave, first.id);
            return Failure{begun.error()};
        }
    }
    // An image that has to be taken away is needed until it has been copied, whether anybody waits or not.
    if (!command.wait && !handed.is_needed())
        return Launched{.json = std::move(created), .view = std::move(first)};
    bool enough = false;
    const auto deadline = Clock::now() + command.timeout;
    const std::string wanted = command.wait ? "ready" : "running";
    auto json = TRY(follow(host.api(), VmKind::Enclave, first.id, wanted, deadline, [&](const VmView& view) {
        progress.update(progress_text(view));
        enough = view.is_over() || view.ready || (!command.wait && view.state == wanted);
        return enough || interruption.happened();
    }));
    if (!enough && interruption.happened()) return take_back(host.api(), VmKind::Enclave, first.id);
    auto view = TRY(read_vm(json));
    return Launched{.json = std::move(json), .view = std::move(view)};
}

}  // namespace alcove::cli
