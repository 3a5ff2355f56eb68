// SPDX-License-Identifier: Apache-2.0
#include "host/sgx.hpp"

#include <charconv>
#include <filesystem>
#include <system_error>

#include <cpuid.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::host {

namespace {

// CPUID leaf 7, subleaf 0.
constexpr uint32_t kFeatureLeaf = 7;
constexpr uint32_t kSgx = bit<uint32_t>(2);                // EBX
constexpr uint32_t kSgxLaunchControl = bit<uint32_t>(30);  // ECX
// CPUID leaf 12H: subleaf 0 says what there is, those from 2 on are sections.
constexpr uint32_t kSgxLeaf = 0x12;
constexpr uint32_t kSgx1 = bit<uint32_t>(0);  // EAX
constexpr uint32_t kSgx2 = bit<uint32_t>(1);
constexpr uint32_t kFirstSection = 2;
constexpr uint32_t kMaxSections = 64;   // a processor that lists more is not believed
constexpr uint32_t kSectionKind = 0xf;  // EAX: 0 is the end, 1 a section
constexpr uint32_t kLowMask = 0xffff'f000;
constexpr uint32_t kHighMask = 0x000f'ffff;

uint64_t address_of(uint32_t low, uint32_t high) {
    return uint64_t{high & kHighMask} << 32 | (low & kLowMask);
}

uint64_t read_total(const std::string& path) {
    const auto content = sys::read_file(path, 64);
    if (!content) return 0;  // a kernel without SGX has no such file
    const auto text = as_text(*content);
    uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

Cpuid this_processor() {
    return [](uint32_t leaf, uint32_t subleaf) {
        CpuidAnswer answer;
        __get_cpuid_count(leaf, subleaf, &answer.eax, &answer.ebx, &answer.ecx, &answer.edx);
        return answer;
    };
}

SgxHardware read_sgx(const std::vector<NumaNode>& nodes, const Cpuid& cpuid, const std::string& root) {
    SgxHardware hardware;
    const auto features = cpuid(kFeatureLeaf, 0);
    hardware.present = (features.ebx & kSgx) != 0;
    std::error_code ignored;
    hardware.enclave_device = std::filesystem::exists(root + "/dev/sgx_enclave", ignored);
    hardware.virtual_epc_device = std::filesystem::exists(root + "/dev/sgx_vepc", ignored);
    if (!hardware.present) return hardware;
    hardware.launch_control = (features.ecx & kSgxLaunchControl) != 0;
    const auto instructions = cpuid(kSgxLeaf, 0);
    hardware.sgx1 = (instructions.eax & kSgx1) != 0;
    hardware.sgx2 = (instructions.eax & kSgx2) != 0;
    for (uint32_t subleaf = kFirstSection; subleaf < kFirstSection + kMaxSections; ++subleaf) {
        const auto section = cpuid(kSgxLeaf, subleaf);
        if ((section.eax & kSectionKind) == 0) break;
        hardware.sections.push_back(
            {.base = address_of(section.eax, section.ebx), .size = address_of(section.ecx, section.edx)});
    }
    for (const auto node : nodes) {
        const uint64_t total = read_total(root + "/sys/devices/system/node/node" +
                                          std::to_string(node.value) + "/x86/sgx_total_bytes");
        if (total != 0) hardware.nodes.push_back({.node = node, .total_bytes = total});
    }
    return hardware;
}

}  // namespace alcove::host
