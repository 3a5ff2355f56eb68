// SPDX-License-Identifier: Apache-2.0
#include "boot/acpi_tables.hpp"

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "boot/acpi_spec.hpp"
#include "boot/aml.hpp"
#include "boot/table_checksum.hpp"
#include "memory/layout.hpp"
#include "support/bits.hpp"

namespace alcove::boot {

namespace {

namespace layout = memory::layout;

constexpr std::array<char, 6> kOemId = {'A', 'L', 'C', 'O', 'V', 'E'};

AcpiHeader make_header(const char (&signature)[5], uint8_t revision, uint64_t length) {
    AcpiHeader header{};
    std::memcpy(header.signature.data(), signature, 4);
    header.length = static_cast<uint32_t>(length);
    header.revision = revision;
    header.oem_id = kOemId;
    header.oem_table_id = {'M', 'A', 'C', 'H', 'I', 'N', 'E', '1'};
    header.oem_revision = 1;
    header.creator_id = {'A', 'L', 'C', 'V'};
    header.creator_revision = 1;
    return header;
}

// The table with its checksum filled in.
Bytes sealed(Bytes table) {
    table[offsetof(AcpiHeader, checksum)] = 0;
    table[offsetof(AcpiHeader, checksum)] = table_checksum(table);
    return table;
}

// The host bridge (PCI Firmware Specification 3.2, 4.5): it decodes one bus and two windows for BARs. There
// is no window of ports and no interrupt routing: functions have memory BARs and MSI-X. The configuration
// space is claimed by a device of its own, or Linux does not use it.
Bytes build_host_bridge(const PciPlace& pci) {
    using namespace aml;
    const auto ecam = memory32(static_cast<uint32_t>(pci.ecam), static_cast<uint32_t>(1_MiB));
    const Bytes windows = concat({bus_numbers(0, 1), io_port(kPciConfigPort, 8),
                                  memory_window32(pci.window32, pci.window32_size),
                                  memory_window64(pci.window64, pci.window64_size)});
    const Bytes bridge =
        device("PCI0", concat({name("_HID", eisa_id("PNP0A08")), name("_CID", eisa_id("PNP0A03")),
                               name("_UID", integer(0)), name("_SEG", integer(0)), name("_BBN", integer(0)),
                               name("_CCA", integer(1)), name("_CRS", resource_template(windows))}));
    const Bytes claimed = device("ECAM", concat({name("_HID", eisa_id("PNP0C02")), name("_UID", integer(0)),
                                                 name("_CRS", resource_template(ecam))}));
    return concat({bridge, claimed});
}

// What other systems than Linux find EPC by; all sections are resources of one device.
Bytes build_epc(const std::vector<EpcPlace>& sections) {
    using namespace aml;
    Bytes resources;
    for (const auto& section : sections)
        resources = concat({resources, memory64(section.base, section.size)});
    return device("EPC_", concat({name("_HID", eisa_id("INT0E0C")), name("_STA", integer(0xf)),
                                  name("_CRS", resource_template(resources))}));
}

Bytes build_dsdt(const Platform& platform) {
    using namespace aml;
    Bytes devices = device(
        "COM1", concat({name("_HID", eisa_id("PNP0501")), name("_UID", integer(0)),
                        name("_CRS", resource_template(
                                         concat({io_port(kSerialPort, 8), edge_interrupt(kSerialGsi)})))}));
    const Bytes panic = device("PEVT", concat({name("_HID", string("QEMU0001")), name("_STA", integer(0xb)),
                                               name("_CRS", resource_template(io_port(kPanicPort, 1)))}));
    devices = concat({devices, panic});
    for (size_t i = 0; i < platform.virtio_mmio.size(); ++i) {
        const auto& place = platform.virtio_mmio[i];
        char segment[5];
        std::snprintf(segment, sizeof segment, "VM%02u", static_cast<unsigned>(i % 100));
        const Bytes resources =
            resource_template(concat({memory32(place.base, place.size), edge_interrupt(place.gsi)}));
        const Bytes entry =
            device(segment, concat({name("_HID", string("LNRO0005")), name("_UID", integer(i)),
                                    name("_CCA", integer(1)), name("_CRS", resources)}));
        devices = concat({devices, entry});
    }
    if (platform.pci) devices = concat({devices, build_host_bridge(*platform.pci)});
    if (!platform.epc.empty()) devices = concat({devices, build_epc(platform.epc)});
    const Bytes body =
        concat({scope("\\_SB_", devices),
                name("_S5_", package({integer(kAcpiSleepTypeS5), integer(0), integer(0), integer(0)}))});
    const auto header = make_header("DSDT", 2, sizeof(AcpiHeader) + body.size());
    return sealed(concat({object_bytes(header), body}));
}

AcpiGenericAddress io_byte(uint16_t port) {
    return {.address_space = 1, .bit_width = 8, .bit_offset = 0, .access_size = 1, .address = port};
}

Bytes build_fadt(uint64_t dsdt_address) {
    AcpiFadt fadt{};
    fadt.header = make_header("FACP", 6, sizeof fadt);
    fadt.iapc_boot_arch = kBootArchNoVga | kBootArchNoCmosRtc;
    fadt.flags = kFadtHardwareReduced | kFadtResetRegSupported;
    fadt.reset_reg = io_byte(kAcpiResetPort);
    fadt.reset_value = kAcpiResetValue;
    fadt.minor_version = 5;
    fadt.x_dsdt = dsdt_address;
    fadt.sleep_control_reg = io_byte(kAcpiSleepControlPort);
    fadt.sleep_status_reg = io_byte(kAcpiSleepStatusPort);
    fadt.hypervisor_vendor = {'A', 'L', 'C', 'O', 'V', 'E', ' ', ' '};
    return sealed(to_bytes(object_bytes(fadt)));
}

Bytes build_madt(uint32_t vcpu_count) {
    Bytes entries;
    for (uint32_t i = 0; i < vcpu_count; ++i) {
        const AcpiMadtLocalApic entry{.type = 0,
                                      .length = sizeof(AcpiMadtLocalApic),
                                      .processor_uid = static_cast<uint8_t>(i),
                                      .apic_id = static_cast<uint8_t>(i),
                                      .flags = 1};
        entries = aml::concat({entries, object_bytes(entry)});
    }
    // The IOAPIC's id has to differ from every LAPIC's on old kernels.
    const AcpiMadtIoApic ioapic{.type = 1,
                                .length = sizeof(AcpiMadtIoApic),
                                .id = static_cast<uint8_t>(vcpu_count),
                                .reserved = 0,
                                .address = static_cast<uint32_t>(layout::kIoApic),
                                .gsi_base = 0};
    entries = aml::concat({entries, object_bytes(ioapic)});
    AcpiMadt madt{};
    madt.header = make_header("APIC", 5, sizeof madt + entries.size());
    madt.local_apic_address = static_cast<uint32_t>(layout::kLocalApic);
    return sealed(aml::concat({object_bytes(madt), entries}));
}

Bytes build_mcfg(const PciPlace& pci) {
    AcpiMcfg mcfg{};
    mcfg.header = make_header("MCFG", 1, sizeof mcfg);
    mcfg.base = pci.ecam;
    return sealed(to_bytes(object_bytes(mcfg)));
}

// All processors and all RAM are of node 0; EPC may be of another.
Bytes build_srat(const Platform& platform) {
    Bytes entries;
    for (uint32_t i = 0; i < platform.vcpu_count; ++i) {
        AcpiSratLocalApic entry{};
        entry.length = sizeof entry;
        entry.apic_id = static_cast<uint8_t>(i);
        entry.flags = 1;
        entries = aml::concat({entries, object_bytes(entry)});
    }
    const auto add = [&](uint64_t base, uint64_t size, uint32_t node) {
        AcpiSratMemory entry{};
        entry.type = 1;
        entry.length = sizeof entry;
        entry.node = node;
        entry.base = base;
        entry.size = size;
        entry.flags = 1;
        entries = aml::concat({entries, object_bytes(entry)});
    };
    for (const auto& range : layout::ram_regions(platform.ram_bytes))
        add(range.range.base.value(), range.range.size, 0);
    for (const auto& section : platform.epc)
        add(section.base, section.size, section.node);
    AcpiSrat srat{};
    srat.header = make_header("SRAT", 3, sizeof srat + entries.size());
    srat.reserved_one = 1;
    return sealed(aml::concat({object_bytes(srat), entries}));
}

}  // namespace

Bytes build_acpi_tables(const Platform& platform, uint64_t base) {
    constexpr uint64_t kAlignment = 16;
    Bytes result(align_up<uint64_t>(sizeof(AcpiRsdp), kAlignment), 0);
    const auto place = [&](const Bytes& table) {
        const uint64_t address = base + result.size();
        result.insert(result.end(), table.begin(), table.end());
        result.resize(align_up<uint64_t>(result.size(), kAlignment), 0);
        return address;
    };
    const uint64_t dsdt = place(build_dsdt(platform));
    std::vector<Le64> tables = {place(build_fadt(dsdt)), place(build_madt(platform.vcpu_count))};
    if (platform.pci) tables.emplace_back(place(build_mcfg(*platform.pci)));
    if (!platform.epc.empty()) tables.emplace_back(place(build_srat(platform)));

    const auto header = make_header("XSDT", 1, sizeof(AcpiHeader) + tables.size() * sizeof(Le64));
    Bytes xsdt = to_bytes(object_bytes(header));
    for (const auto& table : tables)
        xsdt = aml::concat({xsdt, object_bytes(table)});
    const uint64_t xsdt_address = place(sealed(std::move(xsdt)));

    AcpiRsdp rsdp{};
    rsdp.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
    rsdp.oem_id = kOemId;
    rsdp.revision = 2;
    rsdp.length = sizeof rsdp;
    rsdp.xsdt_address = xsdt_address;
    rsdp.checksum = table_checksum(object_bytes(rsdp).first(20));
    rsdp.extended_checksum = table_checksum(object_bytes(rsdp));
    std::memcpy(result.data(), &rsdp, sizeof rsdp);
    return result;
}

}  // namespace alcove::boot
