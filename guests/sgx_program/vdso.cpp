// SPDX-License-Identifier: Apache-2.0
#include "sgx_program/vdso.hpp"

#include <cstdint>

#include <elf.h>
#include <sys/auxv.h>

namespace alcove::sgx_program {

// A shared object whose only segment is mapped as the file has it.
void* find_in_vdso(std::string_view name) {
    const uint64_t base = ::getauxval(AT_SYSINFO_EHDR);
    if (base == 0) return nullptr;
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
    const auto* segments = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
    const Elf64_Dyn* dynamic = nullptr;
    uint64_t slide = 0;
    for (unsigned i = 0; i < header->e_phnum; ++i) {
        if (segments[i].p_type == PT_LOAD) slide = base + segments[i].p_offset - segments[i].p_vaddr;
        if (segments[i].p_type == PT_DYNAMIC)
            dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segments[i].p_offset);
    }
    const Elf64_Sym* symbols = nullptr;
    const char* names = nullptr;
    const Elf64_Word* hash = nullptr;
    for (; dynamic != nullptr && dynamic->d_tag != DT_NULL; ++dynamic) {
        const uint64_t at = slide + dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const Elf64_Sym*>(at);
        if (dynamic->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(at);
        if (dynamic->d_tag == DT_HASH) hash = reinterpret_cast<const Elf64_Word*>(at);
    }
    if (symbols == nullptr || names == nullptr || hash == nullptr) return nullptr;
    const Elf64_Word count = hash[1];  // of chains, one a symbol
    for (Elf64_Word i = 0; i < count; ++i)
        if (symbols[i].st_shndx != SHN_UNDEF && names + symbols[i].st_name == name)
            return reinterpret_cast<void*>(slide + symbols[i].st_value);
    return nullptr;
}

}  // namespace alcove::sgx_program
