// SPDX-License-Identifier: Apache-2.0
#include "cpu/cpuid_baseline.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <string>

namespace alcove::cpu {

namespace {

enum class Register { Eax, Ebx, Ecx, Edx };

struct Feature {
    uint32_t leaf;
    uint32_t subleaf;
    Register reg;
    unsigned bit;
    const char* name;  // the manual's
};

constexpr Feature kBaseline[] = {
    {1, 0, Register::Ecx, 0, "SSE3"},
    {1, 0, Register::Ecx, 1, "PCLMULQDQ"},
    {1, 0, Register::Ecx, 9, "SSSE3"},
    {1, 0, Register::Ecx, 12, "FMA"},
    {1, 0, Register::Ecx, 13, "CMPXCHG16B"},
    {1, 0, Register::Ecx, 19, "SSE4_1"},
    {1, 0, Register::Ecx, 20, "SSE4_2"},
    {1, 0, Register::Ecx, 21, "x2APIC"},
    {1, 0, Register::Ecx, 22, "MOVBE"},
    {1, 0, Register::Ecx, 23, "POPCNT"},
    {1, 0, Register::Ecx, 25, "AESNI"},
    {1, 0, Register::Ecx, 26, "XSAVE"},
    {1, 0, Register::Ecx, 28, "AVX"},
    {1, 0, Register::Ecx, 29, "F16C"},
    {1, 0, Register::Ecx, 30, "RDRAND"},
    {1, 0, Register::Edx, 0, "FPU"},
    {1, 0, Register::Edx, 2, "DE"},
    {1, 0, Register::Edx, 3, "PSE"},
    {1, 0, Register::Edx, 4, "TSC"},
    {1, 0, Register::Edx, 5, "MSR"},
    {1, 0, Register::Edx, 6, "PAE"},
    {1, 0, Register::Edx, 7, "MCE"},
    {1, 0, Register::Edx, 8, "CX8"},
    {1, 0, Register::Edx, 9, "APIC"},
    {1, 0, Register::Edx, 11, "SEP"},
    {1, 0, Register::Edx, 12, "MTRR"},
    {1, 0, Register::Edx, 13, "PGE"},
    {1, 0, Register::Edx, 14, "MCA"},
    {1, 0, Register::Edx, 15, "CMOV"},
    {1, 0, Register::Edx, 16, "PAT"},
    {1, 0, Register::Edx, 17, "PSE-36"},
    {1, 0, Register::Edx, 19, "CLFSH"},
    {1, 0, Register::Edx, 23, "MMX"},
    {1, 0, Register::Edx, 24, "FXSR"},
    {1, 0, Register::Edx, 25, "SSE"},
    {1, 0, Register::Edx, 26, "SSE2"},
    {7, 0, Register::Ebx, 0, "FSGSBASE"},
    {7, 0, Register::Ebx, 1, "IA32_TSC_ADJUST"},
    {7, 0, Register::Ebx, 3, "BMI1"},
    {7, 0, Register::Ebx, 5, "AVX2"},
    {7, 0, Register::Ebx, 7, "SMEP"},
    {7, 0, Register::Ebx, 8, "BMI2"},
    {7, 0, Register::Ebx, 18, "RDSEED"},
    {7, 0, Register::Ebx, 19, "ADX"},
    {7, 0, Register::Ebx, 20, "SMAP"},
    {7, 0, Register::Ebx, 23, "CLFLUSHOPT"},
    {0xd, 1, Register::Eax, 0, "XSAVEOPT"},
    {0x8000'0001, 0, Register::Ecx, 0, "LAHF-SAHF"},
    {0x8000'0001, 0, Register::Ecx, 5, "LZCNT"},
    {0x8000'0001, 0, Register::Ecx, 8, "PREFETCHW"},
    {0x8000'0001, 0, Register::Edx, 11, "SYSCALL"},
    {0x8000'0001, 0, Register::Edx, 20, "NX"},
    {0x8000'0001, 0, Register::Edx, 26, "1-GByte pages"},
    {0x8000'0001, 0, Register::Edx, 27, "RDTSCP"},
    {0x8000'0001, 0, Register::Edx, 29, "Intel 64"},
    // KVM's own, cpuid.rst.
    {0x4000'0001, 0, Register::Eax, 0, "KVM_FEATURE_CLOCKSOURCE"},
    {0x4000'0001, 0, Register::Eax, 1, "KVM_FEATURE_NOP_IO_DELAY"},
    {0x4000'0001, 0, Register::Eax, 3, "KVM_FEATURE_CLOCKSOURCE2"},
    {0x4000'0001, 0, Register::Eax, 6, "KVM_FEATURE_PV_EOI"},
    {0x4000'0001, 0, Register::Eax, 7, "KVM_FEATURE_PV_UNHALT"},
    {0x4000'0001, 0, Register::Eax, 11, "KVM_FEATURE_PV_SEND_IPI"},
    {0x4000'0001, 0, Register::Eax, 12, "KVM_FEATURE_POLL_CONTROL"},
    {0x4000'0001, 0, Register::Eax, 13, "KVM_FEATURE_PV_SCHED_YIELD"},
    {0x4000'0001, 0, Register::Eax, 24, "KVM_FEATURE_CLOCKSOURCE_STABLE_BIT"},
};

// KVM emulates these whatever the processor has, and does not list them.
constexpr Feature kEmulated[] = {
    {1, 0, Register::Ecx, 24, "TSC-Deadline"},
    {1, 0, Register::Ecx, 31, "hypervisor"},
};

struct Mask {
    uint32_t leaf;
    uint32_t subleaf;
    Register reg;
    uint32_t bits;
};

// Bits that tell of mitigations: the host's.
constexpr Mask kMitigations[] = {
    // MD_CLEAR, IBRS and IBPB, STIBP, L1D_FLUSH, IA32_ARCH_CAPABILITIES, SSBD
    {7, 0, Register::Edx, 1U << 10 | 1U << 26 | 1U << 27 | 1U << 28 | 1U << 29 | 1U << 31},
    // AMD: IBPB, IBRS, STIBP, always-on hints, SSBD, virtual SSBD, SSB_NO
    {0x8000'0008, 0, Register::Ebx,
     1U << 12 | 1U << 14 | 1U << 15 | 1U << 16 | 1U << 17 | 1U << 24 | 1U << 25 | 1U << 26},
    // AMD: LFENCE serialises, null selector clears base, automatic IBRS, SBPB, IBPB_BRTYPE, SRSO_NO
    {0x8000'0021, 0, Register::Eax, 1U << 2 | 1U << 6 | 1U << 8 | 1U << 27 | 1U << 28 | 1U << 29},
};

constexpr uint32_t kLinearAddressBits = 48;
constexpr uint32_t kPhysicalAddressBits = 39;  // what the smallest hosts have: 512 GiB
constexpr uint32_t kXcr0 = 0x7;                // x87, SSE, AVX
constexpr uint32_t kXsaveArea = 0x340;         // their bytes, header included

uint32_t& select(kvm_cpuid_entry2& entry, Register reg) {
    switch (reg) {
        case Register::Eax:
            return entry.eax;
        case Register::Ebx:
            return entry.ebx;
        case Register::Ecx:
            return entry.ecx;
        case Register::Edx:
            break;
    }
    return entry.edx;
}

// The entries by leaf and subleaf, made as they are asked for.
class Table {
  public:
    kvm_cpuid_entry2& at(uint32_t leaf, uint32_t subleaf = 0) {
        for (auto& entry : entries_)
            if (entry.function == leaf && entry.index == subleaf) return entry;
        kvm_cpuid_entry2 entry{};
        entry.function = leaf;
        entry.index = subleaf;
        // Leaves with subleaves: caches, structured features, topology, XSAVE.
        if (leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd)
            entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        entries_.push_back(entry);
        return entries_.back();
    }
    std::vector<kvm_cpuid_entry2> take() { return std::move(entries_); }

  private:
    std::vector<kvm_cpuid_entry2> entries_;
};

uint32_t host_register(std::span<const kvm_cpuid_entry2> supported, uint32_t leaf, uint32_t subleaf,
                       Register reg) {
    for (auto entry : supported)
        if (entry.function == leaf && entry.index == subleaf) return select(entry, reg);
    return 0;
}

bool is_amd(const kvm_cpuid_entry2& leaf0) {
    constexpr uint32_t kAuth = 0x68747541;  // "Auth", of AuthenticAMD
    return leaf0.ebx == kAuth;
}

void add_identity(Table& table, std::span<const kvm_cpuid_entry2> supported, const Topology& topology) {
    auto& leaf0 = table.at(0);
    leaf0.eax = 0xd;
    leaf0.ebx = host_register(supported, 0, 0, Register::Ebx);
    leaf0.ecx = host_register(supported, 0, 0, Register::Ecx);
    leaf0.edx = host_register(supported, 0, 0, Register::Edx);
    const auto vendor = leaf0;
    const bool amd = is_amd(vendor);

    auto& leaf1 = table.at(1);
    // Family 17h model 31h stepping 0, or family 6 model 55h stepping 7: servers of about 2019.
    leaf1.eax = amd ? 0x0083'0f10 : 0x0005'0657;
    leaf1.ebx = 8U << 8 | topology.vcpu_count << 16;     // CLFLUSH of 64 bytes, logical processors
    if (topology.vcpu_count > 1) leaf1.edx |= 1U << 28;  // HTT: more than one logical processor

    auto& extended = table.at(0x8000'0000);
    extended.eax = amd ? 0x8000'0021 : 0x8000'0008;
    if (amd) {
        extended.ebx = vendor.ebx;
        extended.ecx = vendor.ecx;
        extended.edx = vendor.edx;
        table.at(0x8000'0001).eax = leaf1.eax;
        table.at(0x8000'0001).ecx |= 1U << 4;                               // AltMovCr8
        if (topology.vcpu_count > 1) table.at(0x8000'0001).ecx |= 1U << 1;  // CmpLegacy
    }
    auto& sizes = table.at(0x8000'0008);
    sizes.eax = kLinearAddressBits << 8 | kPhysicalAddressBits;
    if (amd) sizes.ecx = (topology.vcpu_count - 1) | std::bit_width(topology.vcpu_count - 1) << 12;
}

void add_brand(Table& table) {
    constexpr char kBrand[48] = "Alcove virtual processor, version 1";
    for (uint32_t i = 0; i < 3; ++i) {
        std::array<uint32_t, 4> words;
        std::memcpy(words.data(), kBrand + 16 * i, sizeof words);
        auto& entry = table.at(0x8000'0002 + i);
        entry.eax = words[0];
        entry.ebx = words[1];
        entry.ecx = words[2];
        entry.edx = words[3];
    }
}

void add_topology(Table& table, const Topology& topology) {
    const auto thread_shift = static_cast<uint32_t>(std::bit_width(topology.threads_per_core - 1));
    const auto core_shift = static_cast<uint32_t>(std::bit_width(topology.vcpu_count - 1));
    auto& threads = table.at(0xb, 0);
    threads.eax = thread_shift;
    threads.ebx = topology.threads_per_core;
    threads.ecx = 1U << 8;
    auto& cores = table.at(0xb, 1);
    cores.eax = core_shift;
    cores.ebx = topology.vcpu_count;
    cores.ecx = 2U << 8 | 1;
    table.at(0xb, 2).ecx = 2;
}

// SDM vol. 2A, leaf 4: level 1 data, level 1 code, level 2, level 3; 64-byte lines, 8 or 16 ways.
void add_caches(Table& table, const Topology& topology, bool amd) {
    if (amd) {
        table.at(0x8000'0005).ecx = 32U << 24 | 8U << 16 | 1U << 8 | 64;   // L1 data: 32 KiB, 8 ways
        table.at(0x8000'0005).edx = 32U << 24 | 8U << 16 | 1U << 8 | 64;   // L1 code
        table.at(0x8000'0006).ecx = 512U << 16 | 6U << 12 | 1U << 8 | 64;  // L2: 512 KiB, 8 ways
        table.at(0x8000'0006).edx = 32U << 18 | 9U << 12 | 1U << 8 | 64;   // L3: 16 MiB
        return;
    }
    const auto cores_field = ((uint32_t{1} << std::bit_width(topology.vcpu_count - 1)) - 1) << 26;
    const auto cache = [&](uint32_t index, uint32_t type, uint32_t level, uint32_t ways, uint32_t sets,
                           uint32_t sharing) {
        auto& entry = table.at(4, index);
        entry.eax = type | level << 5 | 1U << 8 | (sharing - 1) << 14 | cores_field;
        entry.ebx = 63 | (ways - 1) << 22;
        entry.ecx = sets - 1;
    };
    const uint32_t all = uint32_t{1} << std::bit_width(topology.vcpu_count - 1);
    cache(0, 1, 1, 8, 64, topology.threads_per_core);
    cache(1, 2, 1, 8, 64, topology.threads_per_core);
    cache(2, 3, 2, 16, 1024, topology.threads_per_core);
    cache(3, 3, 3, 16, 16384, all);
    table.at(4, 4);
}

void add_xsave(Table& table) {
    auto& areas = table.at(0xd, 0);
    areas.eax = kXcr0;
    areas.ebx = kXsaveArea;
    areas.ecx = kXsaveArea;
    auto& avx = table.at(0xd, 2);
    avx.eax = 256;
    avx.ebx = 576;
}

void add_kvm(Table& table, std::span<const kvm_cpuid_entry2> supported) {
    auto& signature = table.at(0x4000'0000);
    signature.eax = 0x4000'0001;
    signature.ebx = host_register(supported, 0x4000'0000, 0, Register::Ebx);
    signature.ecx = host_register(supported, 0x4000'0000, 0, Register::Ecx);
    signature.edx = host_register(supported, 0x4000'0000, 0, Register::Edx);
}

}  // namespace

Result<std::vector<kvm_cpuid_entry2>> make_cpuid_baseline(std::span<const kvm_cpuid_entry2> supported,
                                                          Topology topology) {
    ALCOVE_CHECK(topology.vcpu_count > 0 && topology.threads_per_core > 0, "a machine has processors");
    Table table;
    std::string missing;
    for (const auto& feature : kBaseline) {
        const uint32_t mask = uint32_t{1} << feature.bit;
        if ((host_register(supported, feature.leaf, feature.subleaf, feature.reg) & mask) == 0)
            missing += (missing.empty() ? "" : ", ") + std::string(feature.name);
        select(table.at(feature.leaf, feature.subleaf), feature.reg) |= mask;
    }
    if (!missing.empty())
        return fail(ErrorCode::KvmUnable,
                    "this host's KVM lacks processor features that machine version 1 has: " + missing);
    for (const auto& feature : kEmulated)
        select(table.at(feature.leaf, feature.subleaf), feature.reg) |= uint32_t{1} << feature.bit;
    add_identity(table, supported, topology);
    for (const auto& mask : kMitigations) {
        const uint32_t bits = host_register(supported, mask.leaf, mask.subleaf, mask.reg) & mask.bits;
        if (bits != 0) select(table.at(mask.leaf, mask.subleaf), mask.reg) |= bits;
    }
    add_brand(table);
    add_topology(table, topology);
    add_caches(table, topology, is_amd(table.at(0)));
    add_xsave(table);
    add_kvm(table, supported);
    return table.take();
}

std::vector<kvm_cpuid_entry2> cpuid_for(std::vector<kvm_cpuid_entry2> baseline, uint32_t apic_id) {
    for (auto& entry : baseline) {
        if (entry.function == 1) entry.ebx |= apic_id << 24;
        if (entry.function == 0xb) entry.edx = apic_id;
    }
    return baseline;
}

}  // namespace alcove::cpu
