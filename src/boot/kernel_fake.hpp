// SPDX-License-Identifier: Apache-2.0
//
// The smallest files that are kernels to a loader, for tests.
#pragma once

#include <cstring>

#include <elf.h>

#include "boot/linux_spec.hpp"
#include "support/bits.hpp"
#include "support/bytes.hpp"

namespace alcove::boot {

// One setup sector, a payload of 4 KiB, preferred address 16 MiB, 1 MiB of room.
inline Bytes make_bzimage() {
    SetupHeader header{};
    header.setup_sects = 1;
    header.boot_flag = kBootFlag;
    header.header = kHeaderMagic;
    header.version = 0x020f;
    header.loadflags = kLoadedHigh;
    header.xloadflags = kXlfKernel64 | kXlfAbove4G;
    header.initrd_addr_max = 0x7fffffff;
    header.cmdline_size = 2047;
    header.pref_address = 16_MiB;
    header.init_size = static_cast<uint32_t>(1_MiB);
    Bytes file(1024 + 4096, 0);
    std::memcpy(file.data() + kSetupHeaderOffset, &header, sizeof header);
    for (size_t i = 1024; i < file.size(); ++i)
        file[i] = static_cast<uint8_t>(i * 7);
    return file;
}

// One PT_LOAD of 4 KiB at 1 MiB whose content ends the file, and a note with the entry at 1 MiB + 4.
inline Bytes make_elf() {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    const uint64_t note_offset = sizeof header + 2 * sizeof(Elf64_Phdr);
    const uint64_t load_offset = note_offset + sizeof(Elf64_Nhdr) + 8;
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_offset = load_offset;
    load.p_paddr = 1_MiB;
    load.p_filesz = 64;
    load.p_memsz = 0x1000;
    Elf64_Phdr note{};
    note.p_type = PT_NOTE;
    note.p_offset = note_offset;
    note.p_filesz = sizeof(Elf64_Nhdr) + 8;
    const Elf64_Nhdr note_header{.n_namesz = 4, .n_descsz = 4, .n_type = kPvhEntryNoteType};
    const Le32 entry(static_cast<uint32_t>(1_MiB + 4));

    Bytes file(load_offset + 64, 0x90);
    std::memcpy(file.data(), &header, sizeof header);
    std::memcpy(file.data() + sizeof header, &load, sizeof load);
    std::memcpy(file.data() + sizeof header + sizeof load, &note, sizeof note);
    std::memcpy(file.data() + note_offset, &note_header, sizeof note_header);
    std::memcpy(file.data() + note_offset + sizeof note_header, "Xen", 4);
    std::memcpy(file.data() + note_offset + sizeof note_header + 4, &entry, sizeof entry);
    return file;
}

}  // namespace alcove::boot
