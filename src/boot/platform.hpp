// SPDX-License-Identifier: Apache-2.0
//
// The shape of a machine as a kernel has to be told of it, and the two ways of telling.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alcove::boot {

enum class Discovery {
    Acpi,         // hardware-reduced ACPI; devices in the DSDT
    CommandLine,  // MP table; devices as virtio_mmio.device= words: kernels built without modules and PCI,
                  // as Nitro enclave images carry them, whose ACPI does not get as far as the DSDT
};

struct VirtioMmioPlace {
    uint32_t base;  // guest-physical, below 4 GiB
    uint32_t size;
    uint32_t gsi;
};

// A PCI host bridge with one segment and one bus.
struct PciPlace {
    uint64_t ecam;  // configuration space of bus 0, 1 MiB
    uint32_t window32;
    uint32_t window32_size;
    uint64_t window64;
    uint64_t window64_size;
};

// What SMBIOS says, as /sys/class/dmi/id shows it.
struct SystemIdentity {
    std::string asset_tag;         // of the board: the id of a primary VM, "i-0123456789abcdef0"
    std::array<uint8_t, 16> uuid;  // as RFC 4122 orders the bytes
};

// A section of the enclave page cache: reserved memory, and a device that says so.
struct EpcPlace {
    uint64_t base;
    uint64_t size;
    uint32_t node = 0;
};

struct Platform {
    Discovery discovery = Discovery::Acpi;
    uint32_t vcpu_count = 1;  // APIC ids 0 .. vcpu_count - 1
    std::vector<VirtioMmioPlace> virtio_mmio;
    std::optional<PciPlace> pci{};  // with Discovery::Acpi only
    std::vector<EpcPlace> epc{};
    uint64_t ram_bytes = 0;                    // with EPC: which nodes memory is of is said then
    std::optional<SystemIdentity> identity{};  // SMBIOS tables; enclaves have none
};

// Which way suits the kernel of an image, judged by the image's own (measured) command line: the word
// `nomodules`, which every default command line of Nitro enclave images has, means that the drivers are built
// in and look for their devices on the command line.
Discovery discovery_for(std::string_view command_line);

// What is appended to the command line for Discovery::CommandLine, with a leading space:
// " virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6".
std::string command_line_devices(const Platform& platform);

// Fixed registers of the platform, in I/O space.
inline constexpr uint16_t kAcpiSleepControlPort = 0x600;
inline constexpr uint16_t kAcpiSleepStatusPort = 0x601;
inline constexpr uint16_t kAcpiResetPort = 0x604;
inline constexpr uint8_t kAcpiResetValue = 1;
inline constexpr uint8_t kAcpiSleepTypeS5 = 5;
inline constexpr uint16_t kPciConfigPort = 0xcf8;
inline constexpr uint16_t kPanicPort = 0x505;
inline constexpr uint16_t kSerialPort = 0x3f8;
inline constexpr uint32_t kSerialGsi = 4;

}  // namespace alcove::boot
