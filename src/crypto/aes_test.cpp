// SPDX-License-Identifier: Apache-2.0
#include "crypto/aes.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "crypto/hex_test.hpp"

namespace alcove::crypto {
namespace {

using codec::hex_encode;

template <size_t Size>
std::array<uint8_t, Size> hex_array(std::string_view text) {
    std::array<uint8_t, Size> value{};
    const Bytes bytes = hex(text);
    EXPECT_EQ(bytes.size(), Size);
    std::copy(bytes.begin(), bytes.end(), value.begin());
    return value;
}

// NIST SP 800-38B, appendix D.1 (as in RFC 4493, 4).
TEST(AesCmac, GivesTheStandardsExamples) {
    const auto key = hex_array<16>("2b7e151628aed2a6abf7158809cf4f3c");
    const Bytes message =
        hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    const ByteView view(message);
    EXPECT_EQ(hex_encode(aes_cmac(key, {})), "bb1d6929e95937287fa37d129b756746");
    EXPECT_EQ(hex_encode(aes_cmac(key, {view.first(16)})), "070a16b46b4d4144f79bdd9dd04a287c");
    EXPECT_EQ(hex_encode(aes_cmac(key, {view.first(40)})), "dfa66747de9ae63030ca32611497c827");
    EXPECT_EQ(hex_encode(aes_cmac(key, {view.first(3), view.subspan(3, 30), view.subspan(33)})),
              "51f0bebf7e3b9d92fc49741779363cfe");
}

// The GCM specification's test cases 2 and 4 (AES-128), which NIST SP 800-38D's validation took over.
TEST(AesGcm, GivesTheSpecificationsExamples) {
    Bytes block(16);
    EXPECT_EQ(hex_encode(aes_gcm_seal({}, {}, {}, Bytes(16), block)), "ab6e47d42cec13bdf53a67b21257bddf");
    EXPECT_EQ(hex_encode(block), "0388dace60b6a392f328c2b971b2fe78");

    const auto key = hex_array<16>("feffe9928665731c6d6a8f9467308308");
    const auto nonce = hex_array<12>("cafebabefacedbaddecaf888");
    const Bytes plain =
        hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    const Bytes associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    Bytes sealed(plain.size());
    EXPECT_EQ(hex_encode(aes_gcm_seal(key, nonce, associated, plain, sealed)),
              "5bc94fbc3221a5db94fae95ae7121a47");
    EXPECT_EQ(hex_encode(sealed),
              "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
              "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091");
}

TEST(AesGcm, OpensWhatItSealedAndNothingElse) {
    const AesKey key{1, 2, 3};
    const GcmNonce nonce{9};
    const Bytes plain{10, 20, 30, 40, 50};
    const Bytes associated{7, 7};
    Bytes sealed(plain.size());
    const AesTag tag = aes_gcm_seal(key, nonce, associated, plain, sealed);
    Bytes opened(plain.size());
    EXPECT_TRUE(aes_gcm_open(key, nonce, associated, sealed, tag, opened));
    EXPECT_EQ(opened, plain);

    const auto refuses = [&](AesKey a_key, GcmNonce a_nonce, Bytes beside, Bytes text, AesTag a_tag) {
        Bytes into(text.size(), 0xee);
        const bool accepted = aes_gcm_open(a_key, a_nonce, beside, text, a_tag, into);
        return !accepted && into == Bytes(text.size());
    };
    EXPECT_TRUE(refuses({1, 2, 4}, nonce, associated, sealed, tag));
    EXPECT_TRUE(refuses(key, {8}, associated, sealed, tag));
    EXPECT_TRUE(refuses(key, nonce, {7, 6}, sealed, tag));
    EXPECT_TRUE(refuses(key, nonce, {7, 7, 7}, sealed, tag));
    Bytes changed = sealed;
    changed[2] ^= 0x10;
    EXPECT_TRUE(refuses(key, nonce, associated, changed, tag));
    AesTag changed_tag = tag;
    changed_tag[15] ^= 1;
    EXPECT_TRUE(refuses(key, nonce, associated, sealed, changed_tag));
}

TEST(ConstantTime, ComparesAllBytesAndTheLength) {
    EXPECT_TRUE(equal_in_constant_time(Bytes{1, 2, 3}, Bytes{1, 2, 3}));
    EXPECT_FALSE(equal_in_constant_time(Bytes{1, 2, 3}, Bytes{1, 2, 4}));
    EXPECT_FALSE(equal_in_constant_time(Bytes{1, 2, 3}, Bytes{1, 2}));
    EXPECT_TRUE(equal_in_constant_time({}, {}));
}

}  // namespace
}  // namespace alcove::crypto
