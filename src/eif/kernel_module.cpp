// SPDX-License-Identifier: Apache-2.0
//
// A little ELF: the section headers, their names, and the zero-terminated "key=value" strings of .modinfo.
#include "eif/kernel_module.hpp"

#include <algorithm>
#include <optional>

#include <elf.h>

#include "eif/archive_reader.hpp"
#include "eif/build_refusal.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove::eif {

namespace {

constexpr uint64_t kMaxModule = 64_MiB;

Result<Bytes> unpack(ByteView file) {
    static constexpr std::string_view kElf = ELFMAG;
    if (as_text(file).starts_with(kElf)) return to_bytes(file);
    ArchiveReader reader = new_archive_reader(ArchiveKind::Raw);
    archive_entry* entry = nullptr;
    if (reader == nullptr ||
        ::archive_read_open_memory(reader.get(), file.data(), file.size()) != ARCHIVE_OK ||
        ::archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
        return archive_failure(reader, "a kernel module can not be unpacked");
    return read_archive_content(reader, kMaxModule);
}

std::optional<ByteView> range(ByteView elf, uint64_t offset, uint64_t size) {
    if (!range_within(offset, size, uint64_t{elf.size()})) return std::nullopt;
    return elf.subspan(offset, size);
}

std::string_view text_at(ByteView bytes, uint64_t offset) {
    if (offset >= bytes.size()) return {};
    const std::string_view rest = as_text(bytes).substr(offset);
    return rest.substr(0, rest.find('\0'));
}

std::optional<ByteView> find_section(ByteView elf, const Elf64_Ehdr& header, std::string_view name) {
    const auto section = [&](uint64_t index) {
        return read_object<Elf64_Shdr>(elf, header.e_shoff + index * sizeof(Elf64_Shdr));
    };
    if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shoff > elf.size()) return std::nullopt;
    const auto names_section = section(header.e_shstrndx);
    if (!names_section) return std::nullopt;
    const auto names = range(elf, names_section->sh_offset, names_section->sh_size);
    if (!names) return std::nullopt;
    for (uint64_t index = 0; index < header.e_shnum; ++index) {
        const auto candidate = section(index);
        if (!candidate) return std::nullopt;
        if (candidate->sh_type != SHT_NOBITS && text_at(*names, candidate->sh_name) == name)
            return range(elf, candidate->sh_offset, candidate->sh_size);
    }
    return std::nullopt;
}

std::vector<std::string> split_names(std::string_view list) {
    std::vector<std::string> names;
    while (!list.empty()) {
        const size_t comma = std::min(list.find(','), list.size());
        if (comma > 0) names.push_back(module_name(list.substr(0, comma)));
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return names;
}

}  // namespace

std::string module_name(std::string_view name) {
    std::string spelled(name);
    std::ranges::replace(spelled, '-', '_');
    return spelled;
}

Result<KernelModule> KernelModule::parse(ByteView file) {
    KernelModule module;
    module.content = TRY(unpack(file));
    const ByteView elf = module.content;
    const auto header = read_object<Elf64_Ehdr>(elf);
    if (!header || !as_text(elf).starts_with(ELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_type != ET_REL || header->e_machine != EM_X86_64)
        return refuse("not a kernel module for x86-64");
    const auto information = find_section(elf, *header, ".modinfo");
    if (!information) return refuse("a kernel module without .modinfo");

    for (uint64_t offset = 0; offset < information->size();) {
        const std::string_view line = text_at(*information, offset);
        offset += line.size() + 1;
        if (line.starts_with("name=")) module.name = module_name(line.substr(5));
        if (line.starts_with("depends=")) module.depends = split_names(line.substr(8));
    }
    if (module.name.empty()) return refuse("a kernel module without a name");
    return module;
}

}  // namespace alcove::eif
