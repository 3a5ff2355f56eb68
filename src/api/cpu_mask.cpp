// SPDX-License-Identifier: Apache-2.0
#include "api/cpu_mask.hpp"

#include <charconv>

namespace alcove::api {

Result<CpuMask> CpuMask::parse_list(std::string_view text) {
    const auto malformed = [] { return fail(ErrorCode::InvalidArgument, "not a list of CPUs"); };
    while (!text.empty() && text.back() == '\n')
        text.remove_suffix(1);
    CpuMask mask;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
        uint32_t first = 0;
        auto parsed = std::from_chars(at, end, first);
        uint32_t last = first;
        if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-')
            parsed = std::from_chars(parsed.ptr + 1, end, last);
        if (parsed.ec != std::errc() || last < first || last >= kMaxHostCpus) return malformed();
        for (uint32_t cpu = first; cpu <= last; ++cpu)
            mask.add(cpu);
        at = parsed.ptr;
        if (at == end) break;
        if (*at != ',' || ++at == end) return malformed();
    }
    return mask;
}

}  // namespace alcove::api
