// SPDX-License-Identifier: Apache-2.0
#include "boot/acpi_tables.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include <unistd.h>

#include <gtest/gtest.h>

#include "boot/acpi_spec.hpp"
#include "boot/aml.hpp"
#include "support/bits.hpp"

namespace alcove::boot {
namespace {

constexpr uint64_t kBase = 0xe0000;

Platform make_plan() {
    return {.discovery = Discovery::Acpi,
            .vcpu_count = 4,
            .virtio_mmio = {{0xd0000000, 0x1000, 5}, {0xd0001000, 0x1000, 6}}};
}

uint8_t sum(ByteView bytes) {
    return static_cast<uint8_t>(std::accumulate(bytes.begin(), bytes.end(), 0U));
}

// The table of the given signature, found as a kernel finds it.
Bytes find_table(const Bytes& all, const char* signature) {
    const auto rsdp = read_object<AcpiRsdp>(all).value();
    const uint64_t xsdt = rsdp.xsdt_address - kBase;
    const auto header = read_object<AcpiHeader>(all, xsdt).value();
    for (uint64_t at = sizeof header; at < header.length; at += 8) {
        const uint64_t address = *read_object<Le64>(all, xsdt + at) - kBase;
        const auto table = read_object<AcpiHeader>(all, address).value();
        if (std::memcmp(table.signature.data(), signature, 4) == 0)
            return Bytes(all.begin() + static_cast<ptrdiff_t>(address),
                         all.begin() + static_cast<ptrdiff_t>(address + table.length));
    }
    return {};
}

TEST(AcpiTables, ChecksumsAreZero) {
    const Bytes all = build_acpi_tables(make_plan(), kBase);

    EXPECT_EQ(sum(ByteView(all).first(20)), 0);
    EXPECT_EQ(sum(ByteView(all).first(36)), 0);
    EXPECT_EQ(sum(find_table(all, "FACP")), 0);
    EXPECT_EQ(sum(find_table(all, "APIC")), 0);
    EXPECT_EQ(find_table(all, "FACP").size(), 276U);
}

TEST(AcpiTables, MadtListsEveryVcpuAndOneIoApic) {
    const Bytes madt = find_table(build_acpi_tables(make_plan(), kBase), "APIC");

    EXPECT_EQ(madt.size(), sizeof(AcpiMadt) + 4 * sizeof(AcpiMadtLocalApic) + sizeof(AcpiMadtIoApic));
    const auto third =
        read_object<AcpiMadtLocalApic>(madt, sizeof(AcpiMadt) + 2 * sizeof(AcpiMadtLocalApic)).value();
    EXPECT_EQ(third.apic_id, 2);
    EXPECT_EQ(third.flags, 1U);
}

TEST(Aml, PackageLengthsOfAllWidthsCountThemselves) {
    EXPECT_EQ(aml::scope("\\_SB_", Bytes(57, 0)).size(), 1 + 1 + 5 + 57U);
    EXPECT_EQ(aml::scope("\\_SB_", Bytes(58, 0)).size(), 1 + 2 + 5 + 58U);
    const Bytes large = aml::scope("\\_SB_", Bytes(5000, 0));
    EXPECT_EQ(large.size(), 1 + 3 + 5 + 5000U);
    EXPECT_EQ(large[1] & 0xc0, 0x80);
}

TEST(Aml, EisaIdsAreEncodedAsTheSpecificationDoes) {
    EXPECT_EQ(aml::eisa_id("PNP0501"), (Bytes{0x0c, 0x41, 0xd0, 0x05, 0x01}));
}

bool has_iasl() {
    return std::system("command -v iasl >/dev/null") == 0;
}

// The DSDT as ACPICA's compiler disassembles it and takes it back.
std::string disassemble(const Platform& platform) {
    const Bytes all = build_acpi_tables(platform, kBase);
    const auto fadt = read_object<AcpiFadt>(find_table(all, "FACP")).value();
    const uint64_t dsdt = fadt.x_dsdt - kBase;
    const auto header = read_object<AcpiHeader>(all, dsdt).value();
    const auto folder =
        std::filesystem::temp_directory_path() / ("alcove-acpi-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    std::ofstream(folder / "dsdt.aml", std::ios::binary)
        .write(reinterpret_cast<const char*>(all.data() + dsdt),
               static_cast<std::streamsize>(uint32_t{header.length}));

    const int status = std::system(
        ("cd " + folder.string() + " && iasl -d dsdt.aml >log 2>&1 && iasl -tc dsdt.dsl >>log 2>&1").c_str());

    std::ifstream source(folder / "dsdt.dsl");
    const std::string text((std::istreambuf_iterator<char>(source)), {});
    std::filesystem::remove_all(folder);
    EXPECT_EQ(status, 0);
    return text;
}

// The judge is ACPICA's compiler, where it is installed.
TEST(AcpiTables, TheReferenceCompilerReadsOurDsdt) {
    if (!has_iasl()) GTEST_SKIP() << "iasl (acpica-tools) is not installed";

    const std::string text = disassemble(make_plan());

    EXPECT_NE(text.find("Device (VM01)"), std::string::npos);
    EXPECT_NE(text.find("\"LNRO0005\""), std::string::npos);
    EXPECT_NE(text.find("Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive"), std::string::npos);
    EXPECT_NE(text.find("EisaId (\"PNP0501\")"), std::string::npos);
    EXPECT_EQ(text.find("PCI0"), std::string::npos);
}

Platform with_pci() {
    Platform platform = make_plan();
    platform.pci = {.ecam = 0xe0000000,
                    .window32 = 0xc0000000,
                    .window32_size = 0x10000000,
                    .window64 = 0x7000000000,
                    .window64_size = 0x1000000000};
    return platform;
}

TEST(AcpiTables, TheReferenceCompilerReadsTheHostBridge) {
    if (!has_iasl()) GTEST_SKIP() << "iasl (acpica-tools) is not installed";

    const std::string text = disassemble(with_pci());

    EXPECT_NE(text.find("PNP0A08"), std::string::npos);
    for (const char* descriptor :
         {"WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode",
          "DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, "
          "ReadWrite",
          "QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Prefetchable, "
          "ReadWrite"})
        EXPECT_NE(text.find(descriptor), std::string::npos) << descriptor << "\n" << text;
    for (const char* number :
         {"0xC0000000", "0xCFFFFFFF", "0x0000007000000000", "0x0000007FFFFFFFFF", "0xE0000000"})
        EXPECT_NE(text.find(number), std::string::npos) << number;
}

TEST(AcpiTables, McfgGivesTheConfigurationSpaceOfOneBus) {
    const Bytes mcfg = find_table(build_acpi_tables(with_pci(), kBase), "MCFG");

    EXPECT_EQ(sum(mcfg), 0);
    const auto table = read_object<AcpiMcfg>(mcfg).value();
    EXPECT_EQ(table.base, 0xe0000000U);
    EXPECT_EQ(table.start_bus, 0);
    EXPECT_EQ(table.end_bus, 0);
    EXPECT_TRUE(find_table(build_acpi_tables(make_plan(), kBase), "MCFG").empty());
}

TEST(AcpiTables, EpcIsADeviceAndHasItsNode) {
    auto plan = make_plan();
    plan.ram_bytes = 1_GiB;
    plan.epc = {{.base = 4_GiB, .size = 8_MiB}, {.base = 5_GiB, .size = 2_MiB, .node = 1}};
    const Bytes all = build_acpi_tables(plan, kBase);
    const Bytes srat = find_table(all, "SRAT");

    ASSERT_EQ(srat.size(), sizeof(AcpiSrat) + 4 * sizeof(AcpiSratLocalApic) + 3 * sizeof(AcpiSratMemory));
    EXPECT_EQ(sum(srat), 0);
    const auto last = read_object<AcpiSratMemory>(srat, srat.size() - sizeof(AcpiSratMemory)).value();
    EXPECT_EQ(last.base, 5_GiB);
    EXPECT_EQ(last.size, 2_MiB);
    EXPECT_EQ(last.node, 1U);
    const Bytes hid = aml::eisa_id("INT0E0C");
    EXPECT_TRUE(std::search(all.begin(), all.end(), hid.begin(), hid.end()) != all.end());
    EXPECT_TRUE(find_table(build_acpi_tables(make_plan(), kBase), "SRAT").empty());
}

}  // namespace
}  // namespace alcove::boot
