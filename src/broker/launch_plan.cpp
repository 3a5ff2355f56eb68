// SPDX-License-Identifier: Apache-2.0
#include "broker/launch_plan.hpp"

#include <algorithm>

namespace alcove::broker {

using api::broker::Launch;

namespace {

Failure refuse(std::string what) {
    return fail(ErrorCode::InvalidArgument, "launch: " + std::move(what));
}

Result<void> check_numbers(const Launch& launch) {
    if ((launch.flags & ~(Launch::kDebug | Launch::kDedicated)) != 0) return refuse("unknown flags");
    if (launch.vcpu_count < 1 || launch.vcpu_count > api::kMaxVcpus) return refuse("vCPU count out of range");
    if (!api::is_page_size(launch.page_size)) return refuse("unknown page size");
    if (!api::is_memory_size(launch.memory_bytes, launch.page_size))
        return refuse("memory size out of range");
    if (launch.vmm_slot >= api::kVmmUidCount) return refuse("VMM slot out of range");
    if (launch.image_size == 0 || launch.image_size > api::kMaxImageBytes)
        return refuse("image size out of range");
    if (!api::is_role(launch.role)) return refuse("unknown role");
    const auto role = static_cast<api::VmRole>(uint32_t{launch.role});
    if (!api::is_cid_of(role, launch.guest_cid)) return refuse("guest CID out of range");
    if (!api::is_disk_count_of(role, launch.disk_count)) return refuse("too many disks");
    if (role == api::VmRole::Primary && (launch.flags & Launch::kDebug) != 0)
        return refuse("debug mode is of enclaves");
    return {};
}

Result<void> check_cpus(const Launch& launch, const SiblingsOf& siblings_of) {
    if (launch.host_cpus.count() == 0) return refuse("no host CPUs");
    for (uint32_t cpu = 0; cpu < api::kMaxHostCpus; ++cpu) {
        if (!launch.host_cpus.has(cpu)) continue;
        const auto siblings = siblings_of(cpu);
        if (!siblings) return refuse("there is no host CPU " + std::to_string(cpu));
        if ((launch.flags & Launch::kDedicated) == 0) continue;
        for (uint32_t other = 0; other < api::kMaxHostCpus; ++other)
            if (siblings->has(other) && !launch.host_cpus.has(other))
                return refuse("host CPU " + std::to_string(cpu) + " without its sibling " +
                              std::to_string(other));
    }
    return {};
}

}  // namespace

Result<LaunchPlan> plan_launch(const Launch& launch, const SiblingsOf& siblings_of) {
    auto id = TRY(api::VmId::parse(launch.vm_id));
    TRY(check_numbers(launch));
    TRY(check_cpus(launch, siblings_of));
    const auto module_id = launch.module_id.text();
    const auto printable = [](char c) { return c > ' ' && c <= '~'; };
    const bool primary = launch.role == static_cast<uint32_t>(api::VmRole::Primary);
    if (!module_id || module_id->empty() != primary || !std::ranges::all_of(*module_id, printable))
        return refuse("an enclave's module id is printable ASCII, a primary VM has none");
    return LaunchPlan{.id = std::move(id), .module_id = std::string(*module_id), .numbers = launch};
}

}  // namespace alcove::broker
