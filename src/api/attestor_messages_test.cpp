// SPDX-License-Identifier: Apache-2.0
#include "api/attestor_messages.hpp"

#include <gtest/gtest.h>

namespace alcove::api::attestor {
namespace {

Result<AttestFields> decode_fields(ByteView message) {
    const auto envelope = TRY(open_envelope(message));
    const auto attest = TRY(decode_with_tail<Attest>(envelope));
    return attest_fields(attest);
}

TEST(AttestorMessages, AttestKeepsAbsentAndEmptyApart) {
    const Bytes nonce = {1, 2, 3};
    const auto message =
        encode_attest(7, {.user_data = ByteView{}, .nonce = nonce, .public_key = std::nullopt});

    const auto fields = decode_fields(message);

    ASSERT_TRUE(fields) << fields.error().to_string();
    ASSERT_TRUE(fields->user_data);
    EXPECT_TRUE(fields->user_data->empty());
    EXPECT_EQ(to_bytes(*fields->nonce), nonce);
    EXPECT_FALSE(fields->public_key);
}

TEST(AttestorMessages, AttestTakesThreeLargestFields) {
    const Bytes largest(kMaxAttestField, 9);

    const auto message = encode_attest(7, {.user_data = largest, .nonce = largest, .public_key = largest});

    ASSERT_TRUE(decode_fields(message));
    EXPECT_EQ(decode_fields(message)->public_key->size(), kMaxAttestField);
}

TEST(AttestorMessages, AttestWithLyingSizesIsRefused) {
    const Bytes tail(16, 0);
    const Attest too_short{.request = 1, .user_data_size = 17, .nonce_size = 0, .public_key_size = 0};
    const Attest too_long{.request = 1, .user_data_size = 15, .nonce_size = 0, .public_key_size = 0};
    const Attest huge{.request = 1, .user_data_size = 0xfffffffe, .nonce_size = 0, .public_key_size = 0};
    const Attest wrapping{
        .request = 1, .user_data_size = 16, .nonce_size = 0xfffffff0, .public_key_size = 16};

    for (const auto& attest : {too_short, too_long, huge, wrapping})
        EXPECT_EQ(decode_fields(encode(attest, tail)).error().code(), ErrorCode::InvalidMessage);
}

TEST(AttestorMessages, AFieldOverTheLimitIsRefused) {
    const Bytes tail(kMaxAttestField + 1, 0);
    const Attest attest{.request = 1,
                        .user_data_size = kMaxAttestField + 1,
                        .nonce_size = Attest::kAbsent,
                        .public_key_size = Attest::kAbsent};

    EXPECT_EQ(decode_fields(encode(attest, tail)).error().code(), ErrorCode::InvalidMessage);
}

TEST(AttestorMessages, EveryErrorHasItsName) {
    EXPECT_EQ(nsm_status_name(NsmStatus::Success), "Success");
    EXPECT_EQ(nsm_status_name(NsmStatus::ReadOnlyIndex), "ReadOnlyIndex");
    EXPECT_EQ(nsm_status_name(NsmStatus::InternalError), "InternalError");
    EXPECT_EQ(nsm_status_name(static_cast<NsmStatus>(9)), "InternalError");
}

}  // namespace
}  // namespace alcove::api::attestor
