// SPDX-License-Identifier: Apache-2.0
#include "boot/kernel_image.hpp"

#include <cstring>

#include <elf.h>

#include <gtest/gtest.h>

#include "boot/kernel_fake.hpp"
#include "support/bits.hpp"

namespace alcove::boot {
namespace {

template <typename T>
void put(Bytes& file, size_t offset, T value) {
    std::memcpy(file.data() + offset, &value, sizeof value);
}

ErrorCode code_of(const Bytes& file) {
    const auto result = parse_kernel(file);
    return result ? ErrorCode::Internal : result.error().code();
}

TEST(KernelImage, ABzImageIsLoadedAtItsPreferredAddress) {
    const auto kernel = parse_kernel(make_bzimage());

    ASSERT_TRUE(kernel) << kernel.error().to_string();
    EXPECT_EQ(kernel->mode, EntryMode::Linux64);
    EXPECT_EQ(kernel->entry, 16_MiB + 0x200);
    ASSERT_EQ(kernel->segments.size(), 1U);
    EXPECT_EQ(kernel->segments[0].file_offset, 1024U);
    EXPECT_EQ(kernel->footprint_end, 16_MiB + 1_MiB);
}

TEST(KernelImage, EachBadSetupFieldIsRefused) {
    const Bytes good = make_bzimage();
    const auto with = [&](size_t offset, auto value) {
        Bytes file = good;
        put(file, offset, value);
        return file;
    };
    EXPECT_EQ(code_of(with(0x1fe, uint16_t{0})), ErrorCode::KernelInvalid);       // boot_flag
    EXPECT_EQ(code_of(with(0x202, uint32_t{0})), ErrorCode::KernelInvalid);       // header
    EXPECT_EQ(code_of(with(0x206, uint16_t{0x020b})), ErrorCode::KernelInvalid);  // version
    EXPECT_EQ(code_of(with(0x236, uint16_t{0})), ErrorCode::KernelInvalid);       // xloadflags
    EXPECT_EQ(code_of(with(0x211, uint8_t{0})), ErrorCode::KernelInvalid);        // loadflags
    EXPECT_EQ(code_of(with(0x1f1, uint8_t{0xff})), ErrorCode::KernelInvalid);     // setup_sects
    EXPECT_EQ(code_of(with(0x258, uint64_t{0})), ErrorCode::KernelInvalid);       // pref_address
    EXPECT_EQ(code_of(with(0x258, ~uint64_t{0})), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(0x260, ~uint32_t{0})), ErrorCode::KernelInvalid);  // init_size
}

TEST(KernelImage, EveryTruncationIsRefusedOrStillWhole) {
    const Bytes good = make_elf();
    for (size_t size = 0; size < good.size(); ++size) {
        const auto result = parse_kernel(ByteView(good).first(size));
        EXPECT_FALSE(result) << size;
    }
}

TEST(KernelImage, AnElfFileIsEnteredAtItsPvhNote) {
    const auto kernel = parse_kernel(make_elf());

    ASSERT_TRUE(kernel) << kernel.error().to_string();
    EXPECT_EQ(kernel->mode, EntryMode::Pvh32);
    EXPECT_EQ(kernel->entry, 1_MiB + 4);
    EXPECT_EQ(kernel->footprint_end, 1_MiB + 0x1000);
}

TEST(KernelImage, EachBadElfFieldIsRefused) {
    const Bytes good = make_elf();
    const auto with = [&](size_t offset, auto value) {
        Bytes file = good;
        put(file, offset, value);
        return file;
    };
    const size_t load = sizeof(Elf64_Ehdr);
    const size_t note = load + sizeof(Elf64_Phdr);
    EXPECT_EQ(code_of(with(offsetof(Elf64_Ehdr, e_machine), uint16_t{EM_AARCH64})), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(offsetof(Elf64_Ehdr, e_phnum), uint16_t{65})), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(offsetof(Elf64_Ehdr, e_phoff), ~uint64_t{0})), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(load + offsetof(Elf64_Phdr, p_offset), ~uint64_t{0})), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(load + offsetof(Elf64_Phdr, p_filesz), uint64_t{0x2000})),
              ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(load + offsetof(Elf64_Phdr, p_memsz), ~uint64_t{0})), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(load + offsetof(Elf64_Phdr, p_paddr), uint64_t{0x8000})),
              ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of(with(note + offsetof(Elf64_Phdr, p_type), uint32_t{PT_NULL})),
              ErrorCode::KernelInvalid);
}

TEST(KernelImage, SomethingElseIsNoKernel) {
    EXPECT_EQ(code_of(Bytes(4096, 0x5a)), ErrorCode::KernelInvalid);
    EXPECT_EQ(code_of({}), ErrorCode::KernelInvalid);
}

}  // namespace
}  // namespace alcove::boot
