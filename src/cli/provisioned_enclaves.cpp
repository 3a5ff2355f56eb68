// SPDX-License-Identifier: Apache-2.0
#include "cli/provisioned_enclaves.hpp"

#include <algorithm>

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "cli/enclave_launch.hpp"
#include "cli/vm_access.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

// Its own, or that of enclaves of this VM, or the VM's.
std::string policy_of(const ProvisionedEnclave& enclave, const VmStart& command) {
    for (const auto* policy : {&enclave.policy, &command.enclave_policy, &command.policy})
        if (!policy->empty()) return *policy;
    return "dedicated";
}

}  // namespace

bool HandedEnclaves::are_needed() const {
    return std::ranges::any_of(images, [](const HandedImage& image) { return image.is_needed(); });
}

Result<HandedEnclaves> hand_over_enclaves(const VmStart& command, HostAccess& host) {
    HandedEnclaves handed;
    for (const auto& enclave : command.provisioned) {
        const auto image = TRY(sys::open(enclave.image, O_RDONLY));
        const uint64_t bytes = TRY(sys::file_size(image).context(enclave.image));
        auto one = TRY(host.hand_over(image));
        Json body = {{"image", one.reference()},
                     {"vcpus", enclave.vcpus},
                     {"memory_mib", enclave.memory_mib.value_or(default_memory_mib(bytes))},
                     {"policy", policy_of(enclave, command)},
                     {"debug", enclave.debug}};
        if (!enclave.name.empty()) body["name"] = enclave.name;
        if (enclave.cid) body["cid"] = *enclave.cid;
        handed.json.push_back(std::move(body));
        handed.images.push_back(std::move(one));
    }
    return handed;
}

Result<std::vector<StartedEnclave>> follow_enclaves(const std::string& vm, bool wait, HostAccess& host,
                                                    Interruption& interruption, Progress& progress,
                                                    std::chrono::steady_clock::time_point deadline) {
    const auto all = TRY(list_vms(host.api(), VmKind::Enclave));
    std::vector<StartedEnclave> started;
    for (const auto& enclave : all) {
        if (enclave.parent != vm) continue;
        const auto is_enough = [&](const VmView& now) {
            progress.update(progress_text(now));
            const bool copied = now.state != "reserving" && now.state != "measuring";
            return now.is_over() || now.ready || (!wait && copied) || interruption.happened();
        };
        auto json = TRY(follow(host.api(), VmKind::Enclave, enclave.id, "ready", deadline, is_enough));
        auto view = TRY(read_vm(json));
        started.push_back({.json = std::move(json), .view = std::move(view)});
    }
    return started;
}

Exit outcome_of(const std::vector<StartedEnclave>& enclaves, bool waited, const Output& output) {
    Exit exit = Exit::Ok;
    for (const auto& [json, view] : enclaves) {
        if (const auto remark = core_remark(view); !remark.empty()) output.note(remark);
        if (view.is_over() && json.value("ready_at", Json(nullptr)).is_null()) {
            output.note(ending_error(view).to_string());
            exit = Exit::EnclaveEnded;
        } else if (!view.is_over() && !view.ready && waited) {
            output.note(view.id + " is not ready yet; it is still on its way");
            if (exit == Exit::Ok) exit = Exit::TimedOut;
        }
    }
    return exit;
}

}  // namespace alcove::cli
