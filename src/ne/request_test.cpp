// SPDX-License-Identifier: Apache-2.0
#include "ne/request.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace alcove::ne {
namespace {

TEST(NeRequest, AllElevenCommandsAreKnownAndOthersAreNot) {
    const Bytes data(SEND_DATA_SIZE);
    for (uint32_t id = 1; id <= 11; ++id) {
        const auto request = parse_request(id, data);
        ASSERT_TRUE(request) << id;
        EXPECT_EQ(static_cast<uint32_t>(command_of(*request)), id);
        EXPECT_NE(command_name(command_of(*request)), "unknown");
    }
    for (const uint32_t id : {0U, 12U, 0x10001U, 0xffffffffU})
        EXPECT_FALSE(parse_request(id, data)) << id;
}

TEST(NeRequest, FieldsLieWhereTheDriverPutsThem) {
    Bytes data(SEND_DATA_SIZE);
    for (size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<uint8_t>(i);

    const auto start = std::get<EnclaveStart>(*parse_request(1, data));
    const auto vcpu = std::get<SlotAddVcpu>(*parse_request(7, data));

    EXPECT_EQ(start.slot_uid, 0x0706050403020100U);
    EXPECT_EQ(start.enclave_cid, 0x0f0e0d0c0b0a0908U);
    EXPECT_EQ(start.flags, 0x1716151413121110U);
    EXPECT_EQ(vcpu.vcpu_id, 0x0b0a0908U);
}

TEST(NeRequest, FewerBytesThanTheCommandHasAreNoRequest) {
    EXPECT_FALSE(parse_request(6, Bytes(23)));
    EXPECT_TRUE(parse_request(6, Bytes(24)));
}

TEST(NeReply, ARefusalIsANegativeErrnoAndNothingElse) {
    const auto reply = refusal(EINVAL);

    EXPECT_EQ(rc_of(reply), -22);
    EXPECT_EQ(reply.rc, 0xffffffeaU);
    EXPECT_EQ(reply.slot_uid, 0U);
}

TEST(NeReply, TheDriversOwnCodesAreNotOurs) {
    EXPECT_TRUE(is_valid_rc(0));
    EXPECT_TRUE(is_valid_rc(-255));
    EXPECT_FALSE(is_valid_rc(-256));
    EXPECT_FALSE(is_valid_rc(-275));
    EXPECT_TRUE(is_valid_rc(-276));
    EXPECT_TRUE(is_valid_rc(-4095));
    EXPECT_FALSE(is_valid_rc(-4096));
}

TEST(NeReply, AHostsErrorBecomesOneOfFewErrnos) {
    EXPECT_EQ(errno_of(Error(ErrorCode::NoFreeMemory, "x")), ENOMEM);
    EXPECT_EQ(errno_of(Error::from_errno(ENOSPC, "fallocate")), ENOMEM);
    EXPECT_EQ(errno_of(Error::from_errno(EPERM, "open")), EIO);
    EXPECT_EQ(errno_of(Error(ErrorCode::ConnectionLost, "x")), EIO);
}

TEST(NeState, OneIsNotDefined) {
    EXPECT_EQ(slot_state_from(2), SlotState::RUNNING);
    EXPECT_EQ(slot_state_from(0xffff), SlotState::STOPPED);
    EXPECT_EQ(slot_state_from(1), std::nullopt);
}

}  // namespace
}  // namespace alcove::ne
