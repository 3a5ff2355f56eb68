// SPDX-License-Identifier: Apache-2.0
#include "crypto/digest.hpp"

#include <gtest/gtest.h>

#include "codec/hex.hpp"

namespace alcove::crypto {
namespace {

using codec::hex_encode;

// FIPS 180-4's worked examples "abc" and the 896-bit message, and the empty message.
constexpr auto kAbc384 =
    "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
    "8086072ba1e7cc2358baeca134c825a7";
constexpr auto kLong384 =
    "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712"
    "fcc7c71a557e2db966c3e9fa91746039";
constexpr auto kEmpty384 =
    "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"
    "274edebfe76f65fbd51ad2f14898b95b";
constexpr auto kAbc256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr auto kAbc512 =
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
constexpr auto kLongMessage =
    "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
    "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";

TEST(Digest, GivesTheStandardsExamples) {
    EXPECT_EQ(hex_encode(sha384(as_byte_view("abc"))), kAbc384);
    EXPECT_EQ(hex_encode(sha384(as_byte_view(kLongMessage))), kLong384);
    EXPECT_EQ(hex_encode(sha384(ByteView{})), kEmpty384);
    EXPECT_EQ(hex_encode(sha256(as_byte_view("abc"))), kAbc256);
    auto sha512 = Digest::create(Digest::Algorithm::SHA512).value();
    sha512.update(as_byte_view("abc"));
    EXPECT_EQ(hex_encode(sha512.finish().value()), kAbc512);
}

// NIST CAVP, SHA384ShortMsg.rsp, Len = 8.
TEST(Digest, GivesTheValidationProgramsShortMessage) {
    const uint8_t message[] = {0xc5};

    EXPECT_EQ(hex_encode(sha384(message)),
              "b52b72da75d0666379e20f9b4a79c33a329a01f06a2fb7865c9062a28c1de860"
              "ba432edfd86b4cb1cb8a75b46076e3b1");
}

TEST(Digest, PartsGiveTheSameAsTheWhole) {
    EXPECT_EQ(hex_encode(sha384({as_byte_view("a"), as_byte_view(""), as_byte_view("bc")})), kAbc384);
}

TEST(Digest, ACopyGoesOnByItself) {
    auto digest = Digest::create(Digest::Algorithm::SHA384).value();
    digest.update(as_byte_view("ab"));

    auto fork = digest.copy();
    digest.update(as_byte_view("something else"));
    fork.update(as_byte_view("c"));

    EXPECT_EQ(hex_encode(fork.finish_sha384().value()), kAbc384);
    EXPECT_NE(hex_encode(digest.finish_sha384().value()), kAbc384);
}

TEST(Digest, FinishingTwiceIsAnError) {
    auto digest = Digest::create(Digest::Algorithm::SHA256).value();
    ASSERT_TRUE(digest.finish());

    EXPECT_EQ(digest.finish().error().code(), ErrorCode::CryptoFailed);
}

}  // namespace
}  // namespace alcove::crypto
