// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/cpu_choice.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>

#include "nitro_cli/failure_code.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr uint32_t kMostCpus = 8192;  // CONFIG_NR_CPUS is at most this on x86-64

Result<uint32_t> parse_cpu(std::string_view text) {
    uint32_t cpu = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cpu);
    if (error != std::errc() || end != text.data() + text.size() || cpu >= kMostCpus)
        return fail(FailureCode::MalformedCpuId, "`" + std::string(text) + "` in the pool is no CPU");
    return cpu;
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\n";
    const size_t begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

}  // namespace

Result<std::vector<uint32_t>> parse_cpu_list(std::string_view text) {
    std::vector<uint32_t> cpus;
    text = trimmed(text);
    while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        const auto range = text.substr(0, comma);
        const size_t dash = std::min(range.find('-'), range.size());
        const auto first = TRY(parse_cpu(range.substr(0, dash)));
        auto last = first;
        if (dash < range.size()) last = TRY(parse_cpu(range.substr(dash + 1)));
        if (last < first)
            return fail(FailureCode::Cpu, "`" + std::string(range) + "` in the pool is no range of CPUs");
        for (uint32_t cpu = first; cpu <= last; ++cpu)
            cpus.push_back(cpu);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return cpus;
}

Result<std::vector<uint32_t>> choose_cpus(const RunRequest& request, const std::vector<uint32_t>& pool) {
    if (request.cpu_ids.empty()) {
        if (request.cpu_count > pool.size())
            return fail(FailureCode::InsufficientCpus, "`cpu-count` is " + std::to_string(request.cpu_count) +
                                                           "; the pool has " + std::to_string(pool.size()));
        return std::vector<uint32_t>(request.cpu_count, 0);
    }
    std::set<uint32_t> seen;
    for (const uint32_t id : request.cpu_ids) {
        if (!seen.insert(id).second)
            return fail(FailureCode::InvalidCpuConfiguration,
                        "`cpu-ids` names CPU " + std::to_string(id) + " twice");
        if (std::ranges::find(pool, id) == pool.end())
            return fail(FailureCode::NoSuchCpuInPool,
                        "`cpu-ids` names CPU " + std::to_string(id) + ", which is not in the pool");
    }
    return request.cpu_ids;
}

}  // namespace alcove::nitro_cli
