// SPDX-License-Identifier: Apache-2.0
#include "broker/launch_plan.hpp"

#include <algorithm>
#include <charconv>

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
    if (!api::is_guest_cid(launch.guest_cid)) return refuse("guest CID out of range");
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
    if (!module_id || module_id->empty() || !std::ranges::all_of(*module_id, printable))
        return refuse("a module id is printable ASCII");
    return LaunchPlan{.id = std::move(id), .module_id = std::string(*module_id), .numbers = launch};
}

Result<api::CpuMask> parse_cpu_list(std::string_view text) {
    const auto malformed = [] { return fail(ErrorCode::InvalidArgument, "not a list of CPUs"); };
    while (!text.empty() && text.back() == '\n')
        text.remove_suffix(1);
    api::CpuMask mask;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
        uint32_t first = 0;
        auto parsed = std::from_chars(at, end, first);
        uint32_t last = first;
        if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-')
            parsed = std::from_chars(parsed.ptr + 1, end, last);
        if (parsed.ec != std::errc() || last < first || last >= api::kMaxHostCpus) return malformed();
        for (uint32_t cpu = first; cpu <= last; ++cpu)
            mask.add(cpu);
        at = parsed.ptr;
        if (at == end) break;
        if (*at != ',' || ++at == end) return malformed();
    }
    return mask;
}

}  // namespace alcove::broker
