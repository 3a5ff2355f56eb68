// SPDX-License-Identifier: Apache-2.0
#include "attestation/pcr_bank.hpp"

#include <gtest/gtest.h>

#include "codec/hex.hpp"

namespace alcove::attestation {
namespace {

constexpr PcrValue kZero{};

PcrValue filled(uint8_t byte) {
    PcrValue value;
    value.fill(byte);
    return value;
}

TEST(PcrBank, StartsWithTheLowerHalfLockedAndAllZero) {
    const PcrBank bank;

    EXPECT_EQ(bank.locked(), 0xffffU);
    for (const auto& value : bank.values())
        EXPECT_EQ(value, kZero);
}

// nitro.md 3.6: PCR4 of an instance id that stands in a real document is one extension of zeros.
TEST(PcrBank, ExtendingGivesTheValueOfARealDocument) {
    PcrBank bank;

    ASSERT_EQ(bank.extend(16, as_byte_view("i-0f73a4b4cb74cc9f2")), NsmStatus::Success);

    EXPECT_EQ(codec::hex_encode(bank.value(16)),
              "9ab5a1aba055ee41ee254b9b251a58259b29fa1096859762744e9ac73b5869b2"
              "5e51223854d9f86adbb37fe69f3e5d1c");
}

TEST(PcrBank, ExtendingTwiceHashesTheOldValueToo) {
    PcrBank bank;

    ASSERT_EQ(bank.extend(31, as_byte_view("one")), NsmStatus::Success);
    ASSERT_EQ(bank.extend(31, as_byte_view("two")), NsmStatus::Success);

    EXPECT_EQ(bank.value(31),
              crypto::sha384({crypto::sha384({kZero, as_byte_view("one")}), as_byte_view("two")}));
}

TEST(PcrBank, MeasuredRegistersCanNotBeExtended) {
    PcrBank bank;
    bank.set_measured(0, filled(7));

    for (uint32_t index = 0; index < PcrBank::kFirstOfEnclave; ++index)
        EXPECT_EQ(bank.extend(index, as_byte_view("x")), NsmStatus::ReadOnlyIndex);

    EXPECT_EQ(bank.value(0), filled(7));
}

TEST(PcrBank, AnIndexBeyondTheLastIsInvalid) {
    PcrBank bank;

    for (const uint32_t index : {32U, 33U, 255U, 0xffffffffU}) {
        EXPECT_EQ(bank.extend(index, {}), NsmStatus::InvalidIndex);
        EXPECT_EQ(bank.lock(index), NsmStatus::InvalidIndex);
        EXPECT_FALSE(bank.is_locked(index));
    }
}

TEST(PcrBank, LockingALockedRegisterIsAnErrorAndARangeIsNot) {
    PcrBank bank;

    EXPECT_EQ(bank.lock(0), NsmStatus::ReadOnlyIndex);
    EXPECT_EQ(bank.lock(20), NsmStatus::Success);
    EXPECT_EQ(bank.lock(20), NsmStatus::ReadOnlyIndex);
    EXPECT_EQ(bank.extend(20, {}), NsmStatus::ReadOnlyIndex);
    EXPECT_EQ(bank.lock_below(32), NsmStatus::Success);
    EXPECT_EQ(bank.lock_below(32), NsmStatus::Success);
    EXPECT_EQ(bank.locked(), 0xffffffffU);
    EXPECT_EQ(bank.lock_below(33), NsmStatus::InvalidIndex);
}

TEST(PcrBank, ARangeLocksOnlyWhatIsBelowIt) {
    PcrBank bank;

    EXPECT_EQ(bank.lock_below(0), NsmStatus::Success);
    EXPECT_EQ(bank.locked(), 0xffffU);
    EXPECT_EQ(bank.lock_below(18), NsmStatus::Success);
    EXPECT_EQ(bank.locked(), 0x3ffffU);
}

TEST(PcrBank, AStoredStateComesBackAndAnUnlockedOneDoesNot) {
    PcrBank bank;
    bank.set_measured(2, filled(3));
    ASSERT_EQ(bank.extend(16, as_byte_view("x")), NsmStatus::Success);
    ASSERT_EQ(bank.lock(17), NsmStatus::Success);

    const auto restored = PcrBank::restore(bank.values(), bank.locked());

    ASSERT_TRUE(restored);
    EXPECT_EQ(restored->values(), bank.values());
    EXPECT_EQ(restored->locked(), bank.locked());
    EXPECT_FALSE(PcrBank::restore(bank.values(), 0xfffe));
}

}  // namespace
}  // namespace alcove::attestation
