// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/wire.hpp"

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nitro_cli/failure_code.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli::wire {
namespace {

using testing::ElementsAre;

Bytes frame(const Bytes& item) {
    const Le64 length(item.size());
    Bytes bytes = to_bytes(object_bytes(length));
    bytes.insert(bytes.end(), item.begin(), item.end());
    return bytes;
}

Bytes operator+(Bytes left, const Bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

const Bytes kDescribe = {0x68, 'D', 'e', 's', 'c', 'r', 'i', 'b', 'e'};
const Bytes kWithMetadata = {0xa1, 0x68, 'm', 'e', 't', 'a', 'd', 'a', 't', 'a', 0xf5};

TEST(Wire, ARequestIsTheOriginals) {
    EXPECT_EQ(encode({.command = Command::Describe, .metadata = true}),
              frame(kDescribe) + frame(kDescribe) + frame(kWithMetadata));
    const Bytes terminate = {0x69, 'T', 'e', 'r', 'm', 'i', 'n', 'a', 't', 'e'};
    EXPECT_EQ(encode({.command = Command::Terminate}), frame(terminate) + frame(terminate));
}

TEST(Wire, RequestsArriveInPieces) {
    for (const auto& request :
         {Request{.command = Command::Terminate}, Request{.command = Command::Describe, .metadata = true},
          Request{.command = Command::GetEnclaveCid}, Request{.command = Command::GetEnclaveFlags},
          Request{.command = Command::GetEnclaveName},
          Request{.command = Command::GetIdByName, .metadata = false, .name = "web"}}) {
        const auto bytes = encode(request);
        RequestReader reader;
        for (size_t i = 0; i + 1 < bytes.size(); ++i)
            ASSERT_FALSE(reader.feed(ByteView(bytes).subspan(i, 1)).value());
        EXPECT_EQ(reader.feed(ByteView(bytes).last(1)).value(), request);
    }
}

TEST(Wire, NonsenseIsNoRequest) {
    const auto refused = [](const Bytes& bytes) {
        RequestReader reader;
        const auto request = reader.feed(bytes);
        return !request && code_of(request.error()) == FailureCode::InvalidCommand;
    };
    EXPECT_TRUE(refused(frame({0x63, 'R', 'u', 'n'}) + frame({0x63, 'R', 'u', 'n'})));
    EXPECT_TRUE(refused(frame({0xff})));
    EXPECT_TRUE(refused(Bytes(8, 0xff)));
    EXPECT_TRUE(refused(frame(kDescribe) + frame({0x69, 'T', 'e', 'r', 'm', 'i', 'n', 'a', 't', 'e'})));
    EXPECT_TRUE(refused(frame(kDescribe) + frame(kDescribe) + frame({0xa0})));
    EXPECT_TRUE(refused(Bytes(64 * 1024, 0)));
}

TEST(Wire, AnAnswerIsCollectedToItsEnd) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    for (const auto& bytes : {encode_message(Stream::Err, "working\n"), encode_message(Stream::Out, "{}"),
                              encode_message(Stream::Out, "\n"), encode_status(22)})
        ASSERT_TRUE(sys::write_all(pair.first, bytes));
    pair.first.reset();
    std::vector<std::string> said;

    const auto answer = read_answer(pair.second, [&](std::string_view text) { said.emplace_back(text); });

    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->out, "{}\n");
    EXPECT_EQ(answer->status, 22);
    EXPECT_THAT(said, ElementsAre("working\n"));
}

TEST(Wire, AnAnswerThatIsTooLongIsRefused) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    ASSERT_TRUE(sys::write_all(pair.first, encode_number(uint64_t{1} << 40)));
    pair.first.reset();

    const auto answer = read_answer(pair.second, [](std::string_view) {});

    ASSERT_FALSE(answer);
    EXPECT_EQ(code_of(answer.error()), FailureCode::Serde);
}

TEST(Wire, AMessageIsOneOfThree) {
    EXPECT_FALSE(decode_message(Bytes{0xa0}));
    EXPECT_FALSE(decode_message(Bytes{0x01}));
    EXPECT_FALSE(decode_message(
        Bytes{0xa1, 0x66, 'S', 't', 'a', 't', 'u', 's', 0x1b, 255, 255, 255, 255, 255, 255, 255, 255}));
}

}  // namespace
}  // namespace alcove::nitro_cli::wire
