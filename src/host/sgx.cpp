// SPDX-License-Identifier: Apache-2.0
#include "host/sgx.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <map>
#include <string_view>
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

constexpr std::string_view kBlock = "memory";

uint64_t address_of(uint32_t low, uint32_t high) {
    return uint64_t{high & kHighMask} << 32 | (low & kLowMask);
}

bool read_digits(std::string_view text, uint64_t& value, int base) {
    return std::from_chars(text.data(), text.data() + text.size(), value, base).ec == std::errc();
}

// 0 where there is no such file: a kernel without SGX, or whose memory is not in blocks.
uint64_t read_value(const std::string& path, int base) {
    uint64_t value = 0;
    if (const auto content = sys::read_file(path, 64)) read_digits(as_text(*content), value, base);
    return value;
}

// Where memory of each node begins, in blocks that the kernel names by their number.
std::map<uint64_t, NumaNode> memory_blocks(const std::vector<SgxHardware::Node>& nodes,
                                           const std::string& root) {
    std::map<uint64_t, NumaNode> blocks;
    const std::string devices = root + "/sys/devices/system/";
    const uint64_t size = read_value(devices + "memory/block_size_bytes", 16);
    for (const auto& node : nodes) {
        std::error_code none;
        const std::string folder = devices + "node/node" + std::to_string(node.node.value);
        for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
            const std::string name = entry.path().filename();
            uint64_t number = 0;
            if (name.starts_with(kBlock) &&
                read_digits(std::string_view(name).substr(kBlock.size()), number, 10))
                blocks.emplace(number * size, node.node);
        }
    }
    return blocks;
}

// The kernel tells how much EPC a node has and not where. Firmware takes it from the end of a node's memory,
// so the block that begins closest below says whose it is; and that is believed where it adds up to what the
// kernel tells.
void find_nodes(SgxHardware& hardware, const std::string& root) {
    auto sections = hardware.sections;
    const auto blocks = memory_blocks(hardware.nodes, root);
    std::map<NumaNode, uint64_t> found;
    for (auto& section : sections) {
        const auto above = blocks.upper_bound(section.base);
        if (hardware.nodes.size() == 1)
            section.node = hardware.nodes.front().node;
        else if (above != blocks.begin())
            section.node = std::prev(above)->second;
        else
            return;
        found[*section.node] += section.size;
    }
    const bool adds_up = std::ranges::all_of(
        hardware.nodes, [&](const auto& node) { return found[node.node] == node.total_bytes; });
    if (adds_up && found.size() == hardware.nodes.size()) hardware.sections = std::move(sections);
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
        const uint64_t total = read_value(
            root + "/sys/devices/system/node/node" + std::to_string(node.value) + "/x86/sgx_total_bytes", 10);
        if (total != 0) hardware.nodes.push_back({.node = node, .total_bytes = total});
    }
    find_nodes(hardware, root);
    return hardware;
}

}  // namespace alcove::host
