// SPDX-License-Identifier: Apache-2.0
//
// The layout of an enclave image file (EIF), versions 2 to 4: numbers and structures, no behaviour.
// All integers are big-endian. docs: AWS's aws-nitro-enclaves-image-format, src/defs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::eif {

enum class SectionType : uint16_t {
    Kernel = 1,       // exactly one; a bzImage on x86-64, an Image on aarch64
    CommandLine = 2,  // exactly one; ASCII, no terminating zero
    Ramdisk = 3,      // any number
    Signature = 4,    // at most one; from version 3 on
    Metadata = 5,     // exactly one from version 4 on; not measured
};

namespace spec {

inline constexpr std::array<uint8_t, 4> kMagic = {'.', 'e', 'i', 'f'};
inline constexpr uint16_t kOldestVersion = 2;
inline constexpr uint16_t kNewestVersion = 4;
inline constexpr uint16_t kSignatureSince = 3;
inline constexpr uint16_t kMetadataSince = 4;
inline constexpr size_t kMinSections = 2;
inline constexpr size_t kMaxSections = 32;
inline constexpr uint64_t kMaxSignatureSize = 32768;
inline constexpr uint64_t kMaxCustomMetadataSize = 4096;
// COMMAND_LINE_SIZE of x86-64 Linux is 2048 with the terminating zero.
inline constexpr size_t kMaxCommandLine = 2047;

struct Header {
    std::array<uint8_t, 4> magic;
    Be16 version;
    Be16 flags;
    Be64 default_mem;  // bytes; a suggestion nobody follows
    Be64 default_cpus;
    Be16 reserved;
    Be16 num_sections;
    std::array<Be64, kMaxSections> section_offsets;  // of each section's header, in the file
    std::array<Be64, kMaxSections> section_sizes;    // of its payload
    Be32 unused;
    Be32 crc32;  // over the file but for these four bytes
};
static_assert(sizeof(Header) == 548);
static_assert(offsetof(Header, num_sections) == 26);
static_assert(offsetof(Header, section_offsets) == 28);
static_assert(offsetof(Header, section_sizes) == 284);
static_assert(offsetof(Header, crc32) == 544);

using HeaderFlagAArch64 = Field<uint16_t, 0, 0>;

struct SectionHeader {
    Be16 type;
    Be16 flags;
    Be64 size;  // of the payload, which follows at once
};
static_assert(sizeof(SectionHeader) == 12);
static_assert(offsetof(SectionHeader, size) == 4);

}  // namespace spec
}  // namespace alcove::eif
