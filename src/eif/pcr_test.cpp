// SPDX-License-Identifier: Apache-2.0
//
// Values that were computed by others: by AWS's tools, and, for the second instance, by the AWS hypervisor,
// in a public attestation document of 2024.
#include "eif/pcr.hpp"

#include <gtest/gtest.h>

#include "codec/hex.hpp"

namespace alcove::eif {
namespace {

TEST(PcrTest, TheRoleAndTheInstanceExtendWithTheirText) {
    EXPECT_EQ(
        codec::hex_encode(pcr_of_text("arn:aws:iam::123456789012:role/Webserver")),
        "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6");
    EXPECT_EQ(
        codec::hex_encode(pcr_of_text("i-1234567890abcdef0")),
        "08f996b5d43e047a9eb51e7f548bfee7e164fd7dc8f65541f2ac09d6545ac812719327281c401a67a10fcba87ae79ce0");
    EXPECT_EQ(
        codec::hex_encode(pcr_of_text("i-0f73a4b4cb74cc9f2")),
        "9ab5a1aba055ee41ee254b9b251a58259b29fa1096859762744e9ac73b5869b25e51223854d9f86adbb37fe69f3e5d1c");
}

TEST(PcrTest, NoContentHasTheValueOfAnImageWithOneRamdisk) {
    const std::string empty =
        "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a";
    EXPECT_EQ(codec::hex_encode(pcr_of_content({})), empty);
    EXPECT_EQ(codec::hex_encode(PcrHash().finish()), empty);
}

TEST(PcrTest, PiecesHashAsTheWholeAndACopyGoesItsOwnWay) {
    PcrHash hash;
    hash.update(as_byte_view("ker"));
    hash.update(as_byte_view("nel"));
    PcrHash copy = hash.copy();
    copy.update(as_byte_view("ramdisk"));

    EXPECT_EQ(std::move(hash).finish(), pcr_of_content(as_byte_view("kernel")));
    EXPECT_EQ(std::move(copy).finish(), pcr_of_content(as_byte_view("kernelramdisk")));
}

}  // namespace
}  // namespace alcove::eif
