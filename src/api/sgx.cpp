// SPDX-License-Identifier: Apache-2.0
#include "api/sgx.hpp"

#include <algorithm>

#include "support/bits.hpp"
#include "support/bytes.hpp"

namespace alcove::api {

namespace {

bool has_size(const EpcSection& section) {
    return section.size_mib != 0;
}

bool is_section(const EpcSection& section) {
    if (!has_size(section)) return section.base == 0 && section.node == 0;
    return section.size_mib <= kMaxMemoryBytes / 1_MiB &&
           (section.base == EpcSection::kAnywhere || is_aligned<uint64_t>(section.base, 1_MiB));
}

}  // namespace

uint64_t Sgx::epc_bytes() const {
    uint64_t bytes = 0;
    for (const auto& section : sections)
        bytes += section.size_mib * 1_MiB;
    return bytes;
}

uint64_t Sgx::resident_bytes() const {
    if (is_hardware()) return 0;
    return has_spill_file() ? budget_mib * 1_MiB : epc_bytes();
}

bool Sgx::can_have_balloon(uint64_t mib) const {
    return has_balloon() ? mib < epc_bytes() / 1_MiB : mib == 0;
}

uint32_t Sgx::epc_devices() const {
    return is_hardware() ? static_cast<uint32_t>(std::ranges::count_if(sections, has_size)) : 0;
}

bool is_sgx_of(VmRole role, const Sgx& sgx) {
    constexpr uint32_t kFlags = Sgx::kSgx1 | Sgx::kSgx2 | Sgx::kLaunchHashWritable | Sgx::kProvisionKey |
                                Sgx::kBalloon | Sgx::kHardware;
    if (!sgx.is_there())
        return std::ranges::all_of(object_bytes(sgx), [](uint8_t byte) { return byte == 0; });
    return role == VmRole::Primary && (sgx.flags & ~kFlags) == 0 &&
           std::ranges::all_of(sgx.sections, is_section) &&
           std::ranges::is_partitioned(sgx.sections, has_size) && sgx.epc_bytes() <= kMaxMemoryBytes &&
           sgx.resident_bytes() <= sgx.epc_bytes() && (!sgx.has_balloon() || sgx.has_spill_file()) &&
           sgx.can_have_balloon(sgx.balloon_mib) && !(sgx.is_hardware() && sgx.has_spill_file());
}

}  // namespace alcove::api
