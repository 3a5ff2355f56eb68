// SPDX-License-Identifier: Apache-2.0
#include "api/ne_messages.hpp"

#include <gtest/gtest.h>

namespace alcove::api::ne {
namespace {

const CommandBody kAll[] = {
    EnclaveStart{.request = 1, .reserved = 0, .slot_uid = 2, .enclave_cid = 3, .flags = 4},
    EnclaveGetSlot{.request = 2, .reserved = 0, .enclave_cid = 16},
    EnclaveStop{.request = 3, .reserved = 0, .slot_uid = 5},
    SlotAlloc{.request = 4, .reserved = 0},
    SlotFree{.request = 5, .reserved = 0, .slot_uid = 6},
    SlotAddMem{.request = 6, .reserved = 0, .slot_uid = 7, .paddr = 0x200000, .size = 0x400000},
    SlotAddVcpu{.request = 7, .vcpu_id = 3, .slot_uid = 8},
    SlotCount{.request = 8, .reserved = 0},
    NextSlot{.request = 9, .reserved = 0, .slot_uid = 9},
    SlotInfo{.request = 10, .reserved = 0, .slot_uid = 10},
    SlotAddBulkVcpus{.request = 11, .reserved = 0, .slot_uid = 11, .nr_vcpus = 12},
};

TEST(NeCommands, AllElevenComeBackAsTheyWere) {
    for (size_t i = 0; i < std::size(kAll); ++i) {
        const auto message = encode_command(kAll[i]);
        const auto envelope = open_envelope(message).value();

        const auto command = decode_command(envelope);

        ASSERT_TRUE(command) << i;
        EXPECT_EQ(envelope.type, kFirstCommand + 1 + i);
        EXPECT_EQ(command->index(), i);
        EXPECT_EQ(request_of(*command), i + 1);
        EXPECT_EQ(encode_command(*command), message) << i;
    }
}

TEST(NeCommands, NumbersArriveInTheirFields) {
    const auto message = encode_command(kAll[5]);

    const auto command = std::get<SlotAddMem>(decode_command(open_envelope(message).value()).value());

    EXPECT_EQ(command.slot_uid, 7U);
    EXPECT_EQ(command.paddr, 0x200000U);
    EXPECT_EQ(command.size, 0x400000U);
}

TEST(NeCommands, ACutOrLongerCommandIsRefused) {
    for (const auto& body : kAll) {
        const auto message = encode_command(body);
        const auto envelope = open_envelope(message).value();
        Bytes longer = to_bytes(envelope.body);
        longer.push_back(0);

        const auto cut = decode_command({envelope.type, envelope.body.first(envelope.body.size() - 1)});
        const auto grown = decode_command({envelope.type, longer});

        EXPECT_EQ(cut.error().code(), ErrorCode::InvalidMessage) << envelope.type;
        EXPECT_EQ(grown.error().code(), ErrorCode::InvalidMessage) << envelope.type;
    }
}

TEST(NeCommands, AReservedFieldMustBeZero) {
    const auto message = encode_command(SlotAlloc{.request = 1, .reserved = 1});

    EXPECT_EQ(decode_command(open_envelope(message).value()).error().code(), ErrorCode::InvalidMessage);
}

TEST(NeCommands, OtherMessagesAreNoCommands) {
    const Bytes others[] = {
        encode(ReleaseAll{.request = 1, .reserved = 0}), encode(Reply{}),
        encode_raw(kFirstCommand, Bytes(8), {}),       // INVALID_CMD
        encode_raw(kFirstCommand + 12, Bytes(8), {}),  // MAX_CMD
    };
    for (const auto& message : others)
        EXPECT_EQ(decode_command(open_envelope(message).value()).error().code(), ErrorCode::InvalidMessage);
}

}  // namespace
}  // namespace alcove::api::ne
