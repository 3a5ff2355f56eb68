// SPDX-License-Identifier: Apache-2.0
#include "boot/kernel_image.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include <elf.h>

#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove::boot {

namespace {

constexpr uint64_t kLowest = 1_MiB;   // below it lie our tables
constexpr uint64_t kHighest = 2_GiB;  // kernels are entered below this
constexpr uint32_t kMaxProgramHeaders = 64;
constexpr uint64_t kMaxNoteBytes = 1_MiB;

Failure invalid(std::string why) {
    return fail(ErrorCode::KernelInvalid, "kernel: " + std::move(why));
}

Result<KernelImage> parse_bzimage(ByteView file, const SetupHeader& header) {
    if (header.version < kMinimumVersion) return invalid("boot protocol is older than 2.12");
    if ((header.xloadflags & kXlfKernel64) == 0)
        return invalid("no 64-bit entry point: not an x86-64 kernel");
    if ((header.loadflags & kLoadedHigh) == 0) return invalid("a zImage, not a bzImage");
    // boot.rst: 0 stands for 4 sectors.
    const uint64_t setup_sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
    const uint64_t payload_offset = (setup_sectors + 1) * 512;
    if (payload_offset >= file.size()) return invalid("file ends inside the real-mode part");
    const uint64_t payload_size = file.size() - payload_offset;
    if (payload_size <= kEntry64Offset) return invalid("file ends before the 64-bit entry point");

    // At its preferred address the kernel need not move itself.
    const uint64_t address = header.pref_address;
    const uint64_t footprint = std::max<uint64_t>(header.init_size, payload_size);
    if (address < kLowest || address >= kHighest || footprint > kHighest - address)
        return invalid("preferred address or size lies outside 1 MiB to 2 GiB");
    return KernelImage{
        .mode = EntryMode::Linux64,
        .entry = address + kEntry64Offset,
        .segments = {{.address = address,
                      .file_offset = payload_offset,
                      .file_size = payload_size,
                      .memory_size = payload_size}},
        .footprint_start = address,
        .footprint_end = address + footprint,
        .initrd_limit = header.initrd_addr_max,
        .command_line_limit = header.cmdline_size,
        .header = header,
    };
}

// The PVH entry point from the notes of one PT_NOTE segment.
std::optional<uint32_t> find_pvh_entry(ByteView notes) {
    uint64_t offset = 0;
    while (const auto note = read_object<Elf64_Nhdr>(notes, offset)) {
        const uint64_t name = offset + sizeof(Elf64_Nhdr);
        const uint64_t descriptor = name + align_up<uint64_t>(note->n_namesz, 4);
        const uint64_t next = descriptor + align_up<uint64_t>(note->n_descsz, 4);
        if (next > align_up<uint64_t>(notes.size(), 4)) return std::nullopt;
        const bool xen =
            note->n_namesz == 4 && notes.size() - name >= 4 && std::memcmp(&notes[name], "Xen", 4) == 0;
        if (xen && note->n_type == kPvhEntryNoteType) {
            const auto entry = read_object<Le32>(notes, descriptor);
            if (entry && note->n_descsz >= 4) return *entry;
        }
        offset = next;
    }
    return std::nullopt;
}

Result<KernelImage> parse_elf(ByteView file) {
    const auto header = read_object<Elf64_Ehdr>(file);
    if (!header || header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64)
        return invalid("an ELF file, but not for x86-64");
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
        header->e_phnum > kMaxProgramHeaders)
        return invalid("ELF program headers are malformed");

    KernelImage image{.mode = EntryMode::Pvh32,
                      .entry = 0,
                      .segments = {},
                      .footprint_start = ~uint64_t{0},
                      .footprint_end = 0,
                      .initrd_limit = kHighest - 1,
                      .command_line_limit = 2047,
                      .header = {}};
    std::optional<uint32_t> entry;
    for (uint64_t i = 0; i < header->e_phnum; ++i) {
        const auto offset = checked_add<uint64_t>(header->e_phoff, i * sizeof(Elf64_Phdr));
        const auto segment = offset ? read_object<Elf64_Phdr>(file, *offset) : std::nullopt;
        if (!segment) return invalid("ELF program headers lie outside the file");
        if (segment->p_type != PT_LOAD && segment->p_type != PT_NOTE) continue;
        if (!range_within<uint64_t>(segment->p_offset, segment->p_filesz, file.size()))
            return invalid("an ELF segment lies outside the file");
        if (segment->p_type == PT_NOTE) {
            if (segment->p_filesz > kMaxNoteBytes) return invalid("ELF notes are larger than 1 MiB");
            if (!entry) entry = find_pvh_entry(file.subspan(segment->p_offset, segment->p_filesz));
            continue;
        }
        if (segment->p_memsz == 0) continue;
        if (segment->p_filesz > segment->p_memsz)
            return invalid("an ELF segment is larger in the file than in memory");
        if (segment->p_paddr < kLowest || segment->p_paddr >= kHighest ||
            segment->p_memsz > kHighest - segment->p_paddr)
            return invalid("an ELF segment lies outside 1 MiB to 2 GiB");
        for (const auto& other : image.segments)
            if (segment->p_paddr < other.address + other.memory_size &&
                other.address < segment->p_paddr + segment->p_memsz)
                return invalid("ELF segments overlap in memory");
        image.segments.push_back({.address = segment->p_paddr,
                                  .file_offset = segment->p_offset,
                                  .file_size = segment->p_filesz,
                                  .memory_size = segment->p_memsz});
        image.footprint_start = std::min<uint64_t>(image.footprint_start, segment->p_paddr);
        image.footprint_end = std::max<uint64_t>(image.footprint_end, segment->p_paddr + segment->p_memsz);
    }
    if (image.segments.empty()) return invalid("the ELF file has nothing to load");
    if (!entry) return invalid("the ELF file has no PVH entry point");
    const bool inside = std::ranges::any_of(image.segments, [&](const KernelSegment& segment) {
        return *entry >= segment.address && *entry - segment.address < segment.file_size;
    });
    if (!inside) return invalid("the PVH entry point lies outside the loaded segments");
    image.entry = *entry;
    return image;
}

}  // namespace

Result<KernelImage> parse_kernel(ByteView file) {
    if (file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0) return parse_elf(file);
    const auto header = read_object<SetupHeader>(file, kSetupHeaderOffset);
    if (!header || header->boot_flag != kBootFlag || header->header != kHeaderMagic)
        return invalid("neither a bzImage nor an ELF file");
    return parse_bzimage(file, *header);
}

}  // namespace alcove::boot
