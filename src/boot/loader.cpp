// SPDX-License-Identifier: Apache-2.0
#include "boot/loader.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "boot/acpi_tables.hpp"
#include "boot/mp_table.hpp"
#include "boot/smbios.hpp"
#include "memory/layout.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove::boot {

namespace {

using memory::GuestAddress;
using memory::GuestMemory;
namespace layout = memory::layout;

constexpr uint64_t kGdt = 0x500;
constexpr uint16_t kGdtLimit = 4 * 8 - 1;
constexpr uint64_t kStartInfo = 0x6000;
constexpr uint64_t kBootParams = 0x7000;
constexpr uint64_t kPageTables = 0x9000;  // PML4, PDPT, four page directories
constexpr uint64_t kCommandLine = 0x20000;
constexpr uint64_t kCommandLineRoom = 64_KiB;
constexpr uint64_t kConventionalEnd = 0x9fc00;
constexpr uint64_t kPlatformTables = 0xe0000;  // ACPI; scanned for by kernels that are not told
constexpr uint64_t kPlatformRoom = 128_KiB;
constexpr uint64_t kScannedTables = 0xf0000;  // the MP table and SMBIOS are looked for from here on
constexpr uint64_t kPage = 4_KiB;

struct Placement {
    KernelImage kernel;
    uint64_t initrd_address = 0;
    uint64_t initrd_size = 0;
    std::string command_line;
};

Result<void> check_command_line(const std::string& text, uint64_t limit) {
    if (text.size() > limit || text.size() >= kCommandLineRoom)
        return fail(ErrorCode::CommandLineInvalid, "command line has " + std::to_string(text.size()) +
                                                       " bytes, the kernel takes " + std::to_string(limit));
    const auto printable = [](char c) { return c >= 0x20 && c < 0x7f; };
    if (!std::ranges::all_of(text, printable))
        return fail(ErrorCode::CommandLineInvalid,
                    "command line has a character that is not printable ASCII");
    return {};
}

// Highest place for `size` bytes in [from, to), on a page; nothing when it does not fit.
std::optional<uint64_t> place_high(uint64_t from, uint64_t to, uint64_t size) {
    if (to < from || size > to - from) return std::nullopt;
    const uint64_t address = align_down<uint64_t>(to - size, kPage);
    return address >= from ? std::optional(address) : std::nullopt;
}

// Decides where everything goes, in RAM of `ram_size` bytes.
Result<Placement> plan(uint64_t ram_size, const BootInputs& inputs) {
    auto kernel = TRY(parse_kernel(inputs.kernel));
    std::string command_line = inputs.command_line;
    if (inputs.platform.discovery == Discovery::CommandLine)
        command_line += command_line_devices(inputs.platform);
    TRY(check_command_line(command_line, kernel.command_line_limit));
    const uint64_t low_end = std::min(ram_size, layout::kLowRamLimit);
    if (kernel.footprint_end > low_end)
        return fail(ErrorCode::RamdiskTooLarge,
                    "the kernel needs memory up to " + std::to_string((kernel.footprint_end >> 20) + 1) +
                        " MiB, the enclave has " + std::to_string(ram_size >> 20) + " MiB");
    Placement placement{.kernel = std::move(kernel), .command_line = std::move(command_line)};
    for (const auto& ramdisk : inputs.ramdisks) {
        const auto sum = checked_add<uint64_t>(placement.initrd_size, ramdisk.size());
        if (!sum) return fail(ErrorCode::RamdiskTooLarge, "ramdisks are too large");
        placement.initrd_size = *sum;
    }
    if (placement.initrd_size == 0) return placement;

    const auto low_limit = std::min(low_end, placement.kernel.initrd_limit + 1);
    auto address = place_high(align_up<uint64_t>(placement.kernel.footprint_end, kPage), low_limit,
                              placement.initrd_size);
    const bool anywhere = (placement.kernel.header.xloadflags & kXlfAbove4G) != 0;
    if (!address && anywhere && ram_size > layout::kLowRamLimit)
        address = place_high(layout::kHighRamStart, layout::kHighRamStart + (ram_size - layout::kLowRamLimit),
                             placement.initrd_size);
    if (!address)
        return fail(ErrorCode::RamdiskTooLarge, "ramdisks of " + std::to_string(placement.initrd_size >> 20) +
                                                    " MiB do not fit beside the kernel into " +
                                                    std::to_string(ram_size >> 20) + " MiB of memory");
    placement.initrd_address = *address;
    return placement;
}

struct MemoryMapEntry {
    uint64_t address;
    uint64_t size;
    E820Type type;
};

std::vector<MemoryMapEntry> memory_map(uint64_t ram_size, const Platform& platform) {
    std::vector<MemoryMapEntry> map{
        {0, kConventionalEnd, E820Type::Ram},
        {kConventionalEnd, 0xa0000 - kConventionalEnd, E820Type::Reserved},
        {kPlatformTables, kPlatformRoom,
         platform.discovery == Discovery::Acpi ? E820Type::Acpi : E820Type::Reserved},
    };
    const uint64_t low = std::min(ram_size, layout::kLowRamLimit);
    map.push_back({1_MiB, low - 1_MiB, E820Type::Ram});
    if (platform.pci) map.push_back({platform.pci->ecam, layout::kPciEcam.size, E820Type::Reserved});
    if (ram_size > low) map.push_back({layout::kHighRamStart, ram_size - low, E820Type::Ram});
    for (const auto& section : platform.epc)
        map.push_back({section.base, section.size, E820Type::Reserved});
    std::ranges::sort(map, {}, &MemoryMapEntry::address);
    return map;
}

uint64_t rsdp_address(Discovery discovery) {
    return discovery == Discovery::Acpi ? kPlatformTables : 0;
}

Result<void> write_platform_tables(const GuestMemory& memory, const Platform& platform) {
    const bool acpi = platform.discovery == Discovery::Acpi;
    const uint64_t place = acpi ? kPlatformTables : kScannedTables;
    const Bytes tables =
        acpi ? build_acpi_tables(platform, place) : build_mp_table(platform.vcpu_count, place);
    const uint64_t end = acpi ? kScannedTables : kPlatformTables + kPlatformRoom;
    ALCOVE_CHECK(tables.size() <= end - place, "the platform's tables fit into their place");
    TRY(memory.write_bytes(GuestAddress(place), tables));
    if (!platform.identity) return {};
    ALCOVE_CHECK(acpi, "a machine that says who it is has ACPI");
    const Bytes smbios = build_smbios(*platform.identity, kScannedTables);
    return memory.write_bytes(GuestAddress(kScannedTables), smbios);
}

Result<void> write_gdt(const GuestMemory& memory) {
    // Null, unused, flat 64-bit code, flat data: selectors 0x10 and 0x18.
    const Le64 entries[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    for (size_t i = 0; i < std::size(entries); ++i)
        TRY(memory.write(GuestAddress(kGdt + 8 * i), entries[i]));
    return {};
}

// The first 4 GiB, identity-mapped with pages of 2 MiB.
Result<void> write_page_tables(const GuestMemory& memory) {
    constexpr uint64_t kPresentWritable = 0x3;
    constexpr uint64_t kLargePage = 0x80;
    const uint64_t pdpt = kPageTables + kPage;
    const uint64_t directories = pdpt + kPage;
    TRY(memory.write(GuestAddress(kPageTables), Le64(pdpt | kPresentWritable)));
    for (uint64_t i = 0; i < 4; ++i) {
        TRY(memory.write(GuestAddress(pdpt + 8 * i), Le64((directories + i * kPage) | kPresentWritable)));
        std::array<Le64, 512> directory;
        for (uint64_t j = 0; j < directory.size(); ++j)
            directory[j] = (i * 1_GiB + j * 2_MiB) | kPresentWritable | kLargePage;
        TRY(memory.write(GuestAddress(directories + i * kPage), directory));
    }
    return {};
}

Result<uint64_t> write_boot_params(const GuestMemory& memory, const Placement& placement,
                                   const Platform& platform) {
    BootParams params{};
    params.header = placement.kernel.header;
    params.header.type_of_loader = kLoaderUndefined;
    params.header.cmd_line_ptr = static_cast<uint32_t>(kCommandLine);
    params.header.ramdisk_image = static_cast<uint32_t>(placement.initrd_address);
    params.header.ramdisk_size = static_cast<uint32_t>(placement.initrd_size);
    params.ext_ramdisk_image = static_cast<uint32_t>(placement.initrd_address >> 32);
    params.ext_ramdisk_size = static_cast<uint32_t>(placement.initrd_size >> 32);
    params.acpi_rsdp_addr = rsdp_address(platform.discovery);
    for (const auto& entry : memory_map(memory.total_size(), platform)) {
        params.e820_table[params.e820_entries] = {
            .address = entry.address, .size = entry.size, .type = static_cast<uint32_t>(entry.type)};
        ++params.e820_entries;
    }
    TRY(memory.write(GuestAddress(kBootParams), params));
    return kBootParams;
}

Result<uint64_t> write_start_info(const GuestMemory& memory, const Placement& placement,
                                  const Platform& platform) {
    const auto map = memory_map(memory.total_size(), platform);
    const uint64_t modules = kStartInfo + sizeof(HvmStartInfo);
    const uint64_t memmap = modules + sizeof(HvmModule);
    HvmStartInfo info{};
    info.magic = kHvmStartMagic;
    info.version = 1;
    info.nr_modules = placement.initrd_size != 0 ? 1 : 0;
    info.modlist_paddr = placement.initrd_size != 0 ? modules : 0;
    info.cmdline_paddr = kCommandLine;
    info.rsdp_paddr = rsdp_address(platform.discovery);
    info.memmap_paddr = memmap;
    info.memmap_entries = static_cast<uint32_t>(map.size());
    TRY(memory.write(GuestAddress(kStartInfo), info));
    const HvmModule module{
        .paddr = placement.initrd_address, .size = placement.initrd_size, .cmdline_paddr = 0, .reserved = 0};
    TRY(memory.write(GuestAddress(modules), module));
    for (size_t i = 0; i < map.size(); ++i) {
        const HvmMemmapEntry entry{.address = map[i].address,
                                   .size = map[i].size,
                                   .type = static_cast<uint32_t>(map[i].type),
                                   .reserved = 0};
        TRY(memory.write(GuestAddress(memmap + i * sizeof entry), entry));
    }
    return kStartInfo;
}

}  // namespace

Result<EntryState> load_boot(const GuestMemory& memory, const BootInputs& inputs) {
    const auto placement = TRY(plan(memory.total_size(), inputs));

    for (const auto& segment : placement.kernel.segments)
        TRY(memory.write_bytes(GuestAddress(segment.address),
                               inputs.kernel.subspan(segment.file_offset, segment.file_size)));
    uint64_t initrd_end = placement.initrd_address;
    for (const auto& ramdisk : inputs.ramdisks) {
        TRY(memory.write_bytes(GuestAddress(initrd_end), ramdisk));
        initrd_end += ramdisk.size();
    }
    TRY(memory.write_bytes(GuestAddress(kCommandLine), as_byte_view(placement.command_line)));
    TRY(write_platform_tables(memory, inputs.platform));

    EntryState entry{.mode = placement.kernel.mode,
                     .instruction_pointer = placement.kernel.entry,
                     .argument = 0,
                     .page_table = 0,
                     .gdt_address = 0,
                     .gdt_limit = 0};
    if (entry.mode == EntryMode::Linux64) {
        TRY(write_gdt(memory));
        TRY(write_page_tables(memory));
        entry.page_table = kPageTables;
        entry.gdt_address = kGdt;
        entry.gdt_limit = kGdtLimit;
        entry.argument = TRY(write_boot_params(memory, placement, inputs.platform));
    } else {
        entry.argument = TRY(write_start_info(memory, placement, inputs.platform));
    }
    return entry;
}

}  // namespace alcove::boot
