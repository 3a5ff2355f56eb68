// SPDX-License-Identifier: Apache-2.0
#include "boot/loader.hpp"

#include <numeric>

#include <gtest/gtest.h>

#include "boot/kernel_fake.hpp"
#include "support/bits.hpp"

namespace alcove::boot {
namespace {

using memory::GuestAddress;

BootInputs make_inputs(const Bytes& kernel) {
    return {.kernel = kernel,
            .ramdisks = {},
            .command_line = "console=ttyS0",
            .platform = {.discovery = Discovery::Acpi, .vcpu_count = 2, .virtio_mmio = {}}};
}

std::shared_ptr<memory::GuestMemory> make_ram(uint64_t size) {
    return memory::GuestMemory::create_anonymous({GuestAddress(0), size}).value();
}

Bytes read(const memory::GuestMemory& memory, uint64_t address, size_t size) {
    Bytes bytes(size);
    EXPECT_TRUE(memory.read_bytes(GuestAddress(address), bytes));
    return bytes;
}

TEST(Loader, RamdisksLieOneAfterTheOtherAtTheTop) {
    const Bytes kernel = make_bzimage();
    const Bytes first(5000, 1);
    const Bytes second(100, 2);
    auto inputs = make_inputs(kernel);
    inputs.ramdisks = {first, second};
    const auto memory = make_ram(32_MiB);

    const auto entry = load_boot(*memory, inputs);

    ASSERT_TRUE(entry) << entry.error().to_string();
    const auto params = memory->read<BootParams>(GuestAddress(entry->argument)).value();
    EXPECT_EQ(params.header.ramdisk_size, 5100U);
    EXPECT_EQ(params.header.ramdisk_image, 32_MiB - 8_KiB);
    const Bytes initrd = read(*memory, params.header.ramdisk_image, 5101);
    EXPECT_EQ(initrd[4999], 1);
    EXPECT_EQ(initrd[5000], 2);
    EXPECT_EQ(initrd[5100], 0);
    EXPECT_EQ(read(*memory, 16_MiB, 4096), Bytes(kernel.begin() + 1024, kernel.end()));
}

TEST(Loader, TheMemoryMapCoversRamAndNothingElse) {
    const Bytes kernel = make_bzimage();
    const auto memory = make_ram(32_MiB);

    const auto entry = load_boot(*memory, make_inputs(kernel)).value();

    const auto params = memory->read<BootParams>(GuestAddress(entry.argument)).value();
    uint64_t ram = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < params.e820_entries; ++i) {
        EXPECT_GE(params.e820_table[i].address, end);
        end = params.e820_table[i].address + params.e820_table[i].size;
        if (params.e820_table[i].type == static_cast<uint32_t>(E820Type::Ram))
            ram += params.e820_table[i].size;
    }
    EXPECT_EQ(end, 32_MiB);
    EXPECT_EQ(ram, 32_MiB - 1_MiB + 0x9fc00);
}

TEST(Loader, EpcIsReservedInTheMemoryMap) {
    const Bytes kernel = make_bzimage();
    const auto memory = make_ram(32_MiB);
    auto inputs = make_inputs(kernel);
    inputs.platform.ram_bytes = 32_MiB;
    inputs.platform.epc = {{.base = 4_GiB, .size = 2_MiB}};

    const auto entry = load_boot(*memory, inputs).value();

    const auto params = memory->read<BootParams>(GuestAddress(entry.argument)).value();
    const auto& last = params.e820_table[params.e820_entries - 1];
    EXPECT_EQ(last.address, 4_GiB);
    EXPECT_EQ(last.size, 2_MiB);
    EXPECT_EQ(last.type, static_cast<uint32_t>(E820Type::Reserved));
}

TEST(Loader, WhatDoesNotFitIsRefusedBeforeAnythingIsWritten) {
    const Bytes kernel = make_bzimage();
    const Bytes ramdisk(16_MiB, 1);
    auto inputs = make_inputs(kernel);
    inputs.ramdisks = {ramdisk};
    const auto memory = make_ram(32_MiB);

    const auto entry = load_boot(*memory, inputs);

    ASSERT_FALSE(entry);
    EXPECT_EQ(entry.error().code(), ErrorCode::RamdiskTooLarge);
    EXPECT_EQ(read(*memory, 0, 64_KiB), Bytes(64_KiB, 0));
}

TEST(Loader, AKernelThatNeedsMoreThanThereIsIsRefused) {
    const Bytes kernel = make_bzimage();

    const auto entry = load_boot(*make_ram(16_MiB), make_inputs(kernel));

    ASSERT_FALSE(entry);
    EXPECT_EQ(entry.error().code(), ErrorCode::RamdiskTooLarge);
}

TEST(Loader, CommandLinesWithControlCharactersAreRefused) {
    const Bytes kernel = make_bzimage();
    auto inputs = make_inputs(kernel);
    const auto memory = make_ram(32_MiB);
    for (const std::string& text : {std::string("a\nb"), std::string("a\0b", 3), std::string("\x7f"),
                                    std::string("\xc3\xa4"), std::string(2048, 'x')}) {
        inputs.command_line = text;
        EXPECT_EQ(load_boot(*memory, inputs).error().code(), ErrorCode::CommandLineInvalid);
    }
    inputs.command_line = std::string(2047, 'x');
    EXPECT_TRUE(load_boot(*memory, inputs));
}

TEST(Loader, AnElfKernelGetsItsStartInfo) {
    const Bytes kernel = make_elf();
    const Bytes ramdisk(10, 3);
    auto inputs = make_inputs(kernel);
    inputs.ramdisks = {ramdisk};
    const auto memory = make_ram(8_MiB);

    const auto entry = load_boot(*memory, inputs).value();

    const auto info = memory->read<HvmStartInfo>(GuestAddress(entry.argument)).value();
    EXPECT_EQ(info.magic, kHvmStartMagic);
    EXPECT_EQ(info.nr_modules, 1U);
    const auto module = memory->read<HvmModule>(GuestAddress(info.modlist_paddr)).value();
    EXPECT_EQ(read(*memory, module.paddr, 10), ramdisk);
}

TEST(Loader, TwoLoadsAreTheSameToTheLastByte) {
    const Bytes kernel = make_bzimage();
    const auto first = make_ram(32_MiB);
    const auto second = make_ram(32_MiB);

    ASSERT_TRUE(load_boot(*first, make_inputs(kernel)));
    ASSERT_TRUE(load_boot(*second, make_inputs(kernel)));

    EXPECT_EQ(read(*first, 0, 32_MiB), read(*second, 0, 32_MiB));
}

TEST(Loader, KernelsWithoutUsableAcpiGetTheirDevicesOnTheCommandLine) {
    const Bytes kernel = make_bzimage();
    auto inputs = make_inputs(kernel);
    inputs.platform.discovery = Discovery::CommandLine;
    inputs.platform.virtio_mmio = {{0xd0000000, 0x1000, 5}, {0xd0001000, 0x1000, 6}};
    const auto memory = make_ram(32_MiB);

    const auto entry = load_boot(*memory, inputs).value();

    const auto params = memory->read<BootParams>(GuestAddress(entry.argument)).value();
    EXPECT_EQ(params.acpi_rsdp_addr, 0U);
    const std::string expected =
        "console=ttyS0 virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6";
    const Bytes line = read(*memory, params.header.cmd_line_ptr, expected.size());
    EXPECT_EQ(as_text(line), expected);
    const Bytes pointer = read(*memory, 0xf0000, 16);
    EXPECT_EQ(as_text(ByteView(pointer).first(4)), "_MP_");
    EXPECT_EQ(static_cast<uint8_t>(std::accumulate(pointer.begin(), pointer.end(), 0)), 0);
    const Bytes table = read(*memory, 0xf0010, 44 + 2 * 20 + 8 + 8 + 18 * 8);
    EXPECT_EQ(static_cast<uint8_t>(std::accumulate(table.begin(), table.end(), 0)), 0);
}

TEST(Platform, NoModulesMeansDevicesOnTheCommandLine) {
    EXPECT_EQ(discovery_for("reboot=k panic=30 pci=off nomodules console=ttyS0"), Discovery::CommandLine);
    EXPECT_EQ(discovery_for("nomodules"), Discovery::CommandLine);
    EXPECT_EQ(discovery_for("reboot=k xnomodules nomodules=1"), Discovery::Acpi);
    EXPECT_EQ(discovery_for(""), Discovery::Acpi);
}

}  // namespace
}  // namespace alcove::boot
