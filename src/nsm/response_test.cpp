// SPDX-License-Identifier: Apache-2.0
#include "nsm/response.hpp"

#include <gtest/gtest.h>

#include "codec/hex.hpp"

namespace alcove::nsm {
namespace {

using codec::hex_encode;
using response::NsmStatus;

// nitro.md 4.1: the bytes that Linux compares.
TEST(NsmResponse, GetRandomBeginsAsLinuxExpects) {
    const auto encoded = response::get_random(Bytes(response::kRandomSize, 7));

    EXPECT_EQ(hex_encode(ByteView(encoded).first(22)), "a16947657452616e646f6da16672616e646f6d590100");
    EXPECT_EQ(encoded.size(), 22U + response::kRandomSize);
}

TEST(NsmResponse, IsSerdesEncoding) {
    response::PcrValue value;
    value.fill(0xab);
    const auto digits = hex_encode(value);

    EXPECT_EQ(hex_encode(response::describe_pcr(true, value)),
              "a16b4465736372696265504352a2646c6f636bf564646174615830" + digits);
    EXPECT_EQ(hex_encode(response::extend_pcr(value)), "a169457874656e64504352a164646174615830" + digits);
    EXPECT_EQ(hex_encode(response::lock_pcr()), "674c6f636b504352");
    EXPECT_EQ(hex_encode(response::lock_pcrs()), "684c6f636b50435273");
    EXPECT_EQ(hex_encode(response::attestation(Bytes{1})),
              "a16b4174746573746174696f6ea168646f63756d656e744101");
    EXPECT_EQ(hex_encode(response::error(NsmStatus::ReadOnlyIndex)),
              "a1654572726f726d526561644f6e6c79496e646578");
}

TEST(NsmResponse, DescribesTheModule) {
    EXPECT_EQ(
        hex_encode(response::describe_nsm("i", 32, 0x80000003)),
        "a16b44657363726962654e534da76d76657273696f6e5f6d616a6f72016d76657273696f6e5f6d696e6f7200"
        "6d76657273696f6e5f706174636800696d6f64756c655f69646169686d61785f7063727318206b6c6f636b65645f70637273"
        "830001181f6664696765737466534841333834");
}

}  // namespace
}  // namespace alcove::nsm
