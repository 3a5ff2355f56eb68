// SPDX-License-Identifier: Apache-2.0
//
// Header, two strings' worth of content, three section headers.
#include "eif/raw_module.hpp"

#include <string>

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>

namespace alcove::eif {

Bytes raw_module(std::string_view information) {
    constexpr std::string_view kNames("\0.modinfo\0.shstrtab\0", 20);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_type = ET_REL;
    header.e_machine = EM_X86_64;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    header.e_shstrndx = 2;
    header.e_shoff = sizeof(header) + kNames.size() + information.size();
    Elf64_Shdr sections[3]{};
    sections[1].sh_name = 1;
    sections[1].sh_type = SHT_PROGBITS;
    sections[1].sh_offset = sizeof(header) + kNames.size();
    sections[1].sh_size = information.size();
    sections[2].sh_name = 10;
    sections[2].sh_type = SHT_STRTAB;
    sections[2].sh_offset = sizeof(header);
    sections[2].sh_size = kNames.size();

    Bytes elf;
    const auto append = [&](const void* data, size_t size) {
        const auto* bytes = static_cast<const uint8_t*>(data);
        elf.insert(elf.end(), bytes, bytes + size);
    };
    append(&header, sizeof(header));
    append(kNames.data(), kNames.size());
    append(information.data(), information.size());
    append(sections, sizeof(sections));
    return elf;
}

Bytes raw_module(std::string_view name, std::string_view depends) {
    std::string information = "license=GPL";
    information += '\0';
    information += "depends=" + std::string(depends) + '\0';
    information += '\0';  // the linker pads
    information += "name=" + std::string(name) + '\0';
    return raw_module(information);
}

Bytes xz_compressed(const Bytes& data) {
    Bytes packed(data.size() + 4096);
    size_t used = 0;
    archive* writer = ::archive_write_new();
    ::archive_write_set_format_raw(writer);
    ::archive_write_add_filter_xz(writer);
    ::archive_write_set_bytes_in_last_block(writer, 1);
    ::archive_write_open_memory(writer, packed.data(), packed.size(), &used);
    archive_entry* entry = ::archive_entry_new();
    ::archive_entry_set_filetype(entry, AE_IFREG);
    ::archive_write_header(writer, entry);
    ::archive_write_data(writer, data.data(), data.size());
    ::archive_entry_free(entry);
    ::archive_write_free(writer);
    packed.resize(used);
    return packed;
}

}  // namespace alcove::eif
