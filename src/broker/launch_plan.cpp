// SPDX-License-Identifier: Apache-2.0
#include "broker/launch_plan.hpp"

#include <algorithm>

namespace alcove::broker {

using api::broker::Launch;

namespace {

Failure refuse(std::string what) {
    return fail(ErrorCode::InvalidArgument, std::move(what));
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
    TRY(api::broker::check_numbers(launch));
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
