// SPDX-License-Identifier: Apache-2.0
#include "ne/message_codec.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace alcove::ne {
namespace {

// A request whose every byte differs, so that a field in another's place shows.
Bytes counting_bytes() {
    Bytes data(SEND_DATA_SIZE);
    for (size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<uint8_t>(i + 1);
    return data;
}

TEST(NeMessageCodec, EveryRequestArrivesAsItWas) {
    for (uint32_t command = 1; command <= 11; ++command) {
        const auto request = *parse_request(command, counting_bytes());
        const auto message = encode_request(900 + command, request);

        const auto arrived = decode_request(api::open_envelope(message).value());

        ASSERT_TRUE(arrived) << command;
        EXPECT_EQ(arrived->id, 900 + command);
        ASSERT_EQ(arrived->request.index(), request.index());
        EXPECT_EQ(encode_request(900 + command, arrived->request), message) << command;
    }
}

TEST(NeMessageCodec, AMessageCarriesTheDevicesCommandNumber) {
    for (uint32_t command = 1; command <= 11; ++command) {
        const auto message = encode_request(1, *parse_request(command, counting_bytes()));

        EXPECT_EQ(api::open_envelope(message)->type, api::ne::kFirstCommand + command);
    }
}

TEST(NeMessageCodec, RequestFieldsKeepTheirPlaces) {
    const Request sent = SlotAddMem{.slot_uid = 1, .paddr = 2, .size = 3};
    const auto message = encode_request(1, sent);

    const auto arrived = decode_request(api::open_envelope(message).value());

    const auto& body = std::get<SlotAddMem>(arrived->request);
    EXPECT_EQ(body.slot_uid, 1U);
    EXPECT_EQ(body.paddr, 2U);
    EXPECT_EQ(body.size, 3U);
}

TEST(NeMessageCodec, AReplyArrivesAsItWas) {
    auto reply = read_object<Reply>(counting_bytes()).value();
    reply.rc = 0;
    reply.padding0 = {};
    reply.padding1 = {};
    reply.state = static_cast<uint16_t>(SlotState::RUNNING);
    const auto message = encode_reply(5, reply);

    const auto arrived = decode_reply(api::open_envelope(message).value());

    ASSERT_TRUE(arrived);
    EXPECT_EQ(arrived->id, 5U);
    EXPECT_EQ(as_text(object_bytes(arrived->reply)), as_text(object_bytes(reply)));
}

TEST(NeMessageCodec, ARefusalArrives) {
    const auto message = encode_reply(5, refusal(ENOSPC));

    EXPECT_EQ(rc_of(decode_reply(api::open_envelope(message).value())->reply), -ENOSPC);
}

TEST(NeMessageCodec, ARcOrAStateThatIsNoneIsRefused) {
    Reply bad_rc{};
    bad_rc.rc = static_cast<uint32_t>(-256);
    Reply bad_state{};
    bad_state.state = 1;
    for (const auto& reply : {bad_rc, bad_state}) {
        const auto message = encode_reply(1, reply);
        EXPECT_EQ(decode_reply(api::open_envelope(message).value()).error().code(),
                  ErrorCode::InvalidMessage);
    }
}

}  // namespace
}  // namespace alcove::ne
