// SPDX-License-Identifier: Apache-2.0
#include "broker/launch_plan.hpp"

#include <algorithm>

namespace alcove::broker {

using api::broker::Launch;

namespace {

Failure refuse(std::string what) {
    return fail(ErrorCode::InvalidArgument, std::move(what));
}

// What a carved enclave will be is not known yet.
Result<void> check_carved(const Launch& launch) {
    if (launch.flags != Launch::kCarved) return refuse("a carved enclave begins with no other flag");
    if (launch.vcpu_count != 0 || launch.threads_per_core != 0 || launch.image_size != 0 ||
        launch.guest_cid != 0)
        return refuse("vCPUs, image and CID of a carved enclave are said later");
    return {};
}

Result<void> check_machine(const Launch& launch, api::VmRole role) {
    if (launch.vcpu_count < 1 || launch.vcpu_count > api::kMaxVcpus) return refuse("vCPU count out of range");
    if (!api::is_threads_per_core(launch.threads_per_core, launch.vcpu_count))
        return refuse("no such number of threads in a core");
    if (launch.image_size == 0 || launch.image_size > api::kMaxImageBytes)
        return refuse("image size out of range");
    if (!api::is_cid_of(role, launch.guest_cid)) return refuse("guest CID out of range");
    return {};
}

Result<void> check_numbers(const Launch& launch) {
    if (!api::is_role(launch.role)) return refuse("unknown role");
    const auto role = static_cast<api::VmRole>(uint32_t{launch.role});
    const uint32_t of_role = role == api::VmRole::Primary
                                 ? Launch::kEnclaves
                                 : Launch::kDebug | Launch::kCarved | Launch::kProvisioned;
    if ((launch.flags & ~(Launch::kDedicated | of_role)) != 0)
        return refuse("flags that are unknown or of another role");
    if (!api::is_page_size(launch.page_size)) return refuse("unknown page size");
    if (!api::is_memory_size(launch.memory_bytes, launch.page_size))
        return refuse("memory size out of range");
    if (launch.vmm_slot >= api::kVmmUidCount) return refuse("VMM slot out of range");
    if (!api::is_disk_count_of(role, launch.disk_count)) return refuse("too many disks");
    if (!api::are_networks_of(role, launch.networks)) return refuse("wrong networks");
    if (!api::is_sgx_of(role, launch.sgx) || launch.sgx.root != api::SgxRootSecret{})
        return refuse("wrong SGX");
    return (launch.flags & Launch::kCarved) != 0 ? check_carved(launch) : check_machine(launch, role);
}

Result<void> check_cores(const CorePlan& plan, const SiblingsOf& siblings_of) {
    if (plan.host_cpus.count() == 0) return refuse("no host CPUs");
    for (uint32_t cpu = 0; cpu < api::kMaxHostCpus; ++cpu) {
        if (!plan.host_cpus.has(cpu)) continue;
        const auto siblings = siblings_of(cpu);
        if (!siblings) return refuse("there is no host CPU " + std::to_string(cpu));
        if (!plan.dedicated) continue;
        for (uint32_t other = 0; other < api::kMaxHostCpus; ++other)
            if (siblings->has(other) && !plan.host_cpus.has(other))
                return refuse("host CPU " + std::to_string(cpu) + " without its sibling " +
                              std::to_string(other));
    }
    return {};
}

}  // namespace

Result<LaunchPlan> plan_launch(const Launch& launch, const SiblingsOf& siblings_of) {
    auto id = TRY(api::VmId::parse(launch.vm_id));
    TRY(check_numbers(launch));
    const auto module_id = launch.module_id.text();
    const auto printable = [](char c) { return c > ' ' && c <= '~'; };
    const bool primary = launch.role == static_cast<uint32_t>(api::VmRole::Primary);
    if (!module_id || module_id->empty() != primary || !std::ranges::all_of(*module_id, printable))
        return refuse("an enclave's module id is printable ASCII, a primary VM has none");
    const auto owner = launch.sgx_root_owner.text();
    if (!owner || !std::ranges::all_of(*owner, printable) || (!launch.sgx.is_there() && !owner->empty()))
        return refuse("whose the SGX keys are is printable ASCII, and said where there is SGX");
    LaunchPlan plan{.id = std::move(id), .module_id = std::string(*module_id), .numbers = launch};
    TRY(check_cores(plan.cores(), siblings_of));
    return plan;
}

Result<CorePlan> plan_cores(const api::broker::AssignCores& request, const SiblingsOf& siblings_of) {
    auto id = TRY(api::VmId::parse(request.vm_id));
    if ((request.flags & ~Launch::kDedicated) != 0) return refuse("unknown flags");
    CorePlan plan{.id = std::move(id),
                  .host_cpus = request.host_cpus,
                  .dedicated = (request.flags & Launch::kDedicated) != 0};
    TRY(check_cores(plan, siblings_of));
    return plan;
}

}  // namespace alcove::broker
