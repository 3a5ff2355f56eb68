// SPDX-License-Identifier: Apache-2.0
#include "boot/smbios.hpp"

#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "boot/smbios_spec.hpp"

namespace alcove::boot {
namespace {

constexpr uint64_t kSmbiosBase = 0xf0000;

SystemIdentity make_identity() {
    return {.asset_tag = "i-0123456789abcdef0",
            .uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
                     0xff}};
}

struct Structure {
    uint8_t type;
    Bytes formatted;
    std::vector<std::string> strings;
};

// Walks the table as a kernel does: by lengths, then to the double zero behind the strings.
std::vector<Structure> walk(const Bytes& all) {
    const auto entry = read_object<SmbiosEntryPoint>(all).value();
    size_t at = entry.table_address - kSmbiosBase;
    const size_t end = at + entry.table_maximum_size;
    std::vector<Structure> found;
    while (at < end) {
        const auto header = read_object<SmbiosHeader>(all, at).value();
        Structure structure{.type = header.type, .formatted = {}, .strings = {}};
        const auto from = all.begin() + static_cast<ptrdiff_t>(at);
        structure.formatted.assign(from, from + header.length);
        at += header.length;
        while (all.at(at) != 0) {
            structure.strings.emplace_back(reinterpret_cast<const char*>(&all.at(at)));
            at += structure.strings.back().size() + 1;
        }
        at += structure.strings.empty() ? 2 : 1;
        found.push_back(std::move(structure));
    }
    EXPECT_EQ(at, end);
    return found;
}

TEST(Smbios, TheEntryPointIsFoundAndSums) {
    const Bytes all = build_smbios(make_identity(), kSmbiosBase);

    EXPECT_EQ(as_text(ByteView(all).first(5)), "_SM3_");
    EXPECT_EQ(static_cast<uint8_t>(std::accumulate(all.begin(), all.begin() + 24, 0U)), 0);
    EXPECT_EQ(read_object<SmbiosEntryPoint>(all)->table_address, kSmbiosBase + 32);
}

TEST(Smbios, StructuresEndWithTheEndOfTable) {
    const auto found = walk(build_smbios(make_identity(), kSmbiosBase));

    ASSERT_EQ(found.size(), 4U);
    EXPECT_EQ(found[0].type, 0);
    EXPECT_EQ(found[1].type, 1);
    EXPECT_EQ(found[2].type, 2);
    EXPECT_EQ(found[3].type, 127);
}

TEST(Smbios, TheBoardHasTheAssetTag) {
    const auto board = walk(build_smbios(make_identity(), kSmbiosBase)).at(2);

    const uint8_t number = board.formatted.at(8);
    ASSERT_GE(number, 1);
    EXPECT_EQ(board.strings.at(number - 1U), "i-0123456789abcdef0");
}

TEST(Smbios, TheFirstFieldsOfTheUuidAreLittleEndian) {
    const auto system = walk(build_smbios(make_identity(), kSmbiosBase)).at(1);

    const Bytes uuid(system.formatted.begin() + 8, system.formatted.begin() + 24);
    EXPECT_EQ(uuid, (Bytes{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
                           0xee, 0xff}));
}

}  // namespace
}  // namespace alcove::boot
