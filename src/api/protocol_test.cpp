// SPDX-License-Identifier: Apache-2.0
#include "api/protocol.hpp"

#include <thread>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "api/vm_id.hpp"
#include "support/system.hpp"

namespace alcove::api {
namespace {

struct Plain {
    static constexpr uint16_t kType = 77;
    Le32 a;
    Le64 b;
};

struct Talkative {
    static constexpr uint16_t kType = 78;
    static constexpr size_t kMaxTail = 4;
    Le16 a;
};

TEST(Protocol, ABodyComesBackAsItWasSent) {
    const Bytes message = encode(Plain{.a = 0x01020304, .b = 42});

    const auto envelope = open_envelope(message).value();
    const auto plain = decode<Plain>(envelope);

    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->a, 0x01020304U);
    EXPECT_EQ(plain->b, 42U);
}

TEST(Protocol, TheHeaderIsLittleEndianTypeFlagsAndWholeLength) {
    const Bytes message = encode(Plain{.a = 1, .b = 2});

    const Bytes header(message.begin(), message.begin() + 8);
    EXPECT_EQ(header, (Bytes{77, 0, 0, 0, 20, 0, 0, 0}));
}

TEST(Protocol, EveryTruncationIsRefused) {
    const Bytes message = encode(Plain{.a = 1, .b = 2});

    for (size_t length = 0; length < message.size(); ++length)
        EXPECT_EQ(open_envelope(ByteView(message).first(length)).error().code(), ErrorCode::InvalidMessage)
            << length;
}

TEST(Protocol, AnyOtherLengthThanTheDatagramsIsRefused) {
    Bytes message = encode(Plain{.a = 1, .b = 2});
    message.push_back(0);

    EXPECT_EQ(open_envelope(message).error().code(), ErrorCode::InvalidMessage);
}

TEST(Protocol, UnknownFlagsAreRefused) {
    Bytes message = encode(Plain{.a = 1, .b = 2});
    message[2] = 1;

    EXPECT_EQ(open_envelope(message).error().code(), ErrorCode::InvalidMessage);
}

TEST(Protocol, ABodyOfAnotherSizeIsRefused) {
    const Bytes body(sizeof(Plain) + 1, 0);
    const Bytes longer = encode_raw(Plain::kType, body, {});
    const Bytes shorter = encode_raw(Plain::kType, ByteView(body).first(sizeof(Plain) - 1), {});

    EXPECT_FALSE(decode<Plain>(open_envelope(longer).value()));
    EXPECT_FALSE(decode<Plain>(open_envelope(shorter).value()));
}

TEST(Protocol, ABodyOfAnotherTypeIsRefused) {
    const Bytes message = encode_raw(Plain::kType + 1, object_bytes(Plain{.a = 1, .b = 2}), {});

    EXPECT_FALSE(decode<Plain>(open_envelope(message).value()));
}

TEST(Protocol, ATailIsBoundedOnBothSides) {
    const Bytes cut = encode(Talkative{.a = 1}, as_byte_view("abcdef"));
    const Bytes body{1, 0};
    const Bytes hostile = encode_raw(Talkative::kType, body, as_byte_view("abcde"));

    const auto cut_envelope = open_envelope(cut).value();
    EXPECT_EQ(as_text(decode_with_tail<Talkative>(cut_envelope)->tail), "abcd");
    EXPECT_FALSE(decode_with_tail<Talkative>(open_envelope(hostile).value()));
}

TEST(Protocol, AForeignTextCanNotForgeALineOfTheLog) {
    EXPECT_EQ(printable(as_byte_view("a\nb\x1b[2J\x7f\xff")), "a?b?[2J??");
}

TEST(Protocol, TheHighestCommonVersionIsSpoken) {
    const Bytes theirs = encode_hello(Protocol::Vmm, {.min = 2, .max = 5});

    EXPECT_EQ(accept_hello(open_envelope(theirs).value(), Protocol::Vmm, {.min = 1, .max = 3}).value(), 3);
    EXPECT_EQ(accept_hello(open_envelope(theirs).value(), Protocol::Vmm, {.min = 4, .max = 9}).value(), 5);
}

TEST(Protocol, WithoutACommonVersionBothRangesAreSaid) {
    const Bytes theirs = encode_hello(Protocol::Vmm, {.min = 2, .max = 3});

    const auto result = accept_hello(open_envelope(theirs).value(), Protocol::Vmm, {.min = 4, .max = 6});

    EXPECT_EQ(result.error().code(), ErrorCode::VersionMismatch);
    EXPECT_NE(result.error().message().find("2 to 3"), std::string::npos);
    EXPECT_NE(result.error().message().find("4 to 6"), std::string::npos);
    const Bytes newer = encode_hello(Protocol::Vmm, {.min = 7, .max = 9});
    EXPECT_EQ(accept_hello(open_envelope(newer).value(), Protocol::Vmm, {.min = 4, .max = 6}).error().code(),
              ErrorCode::VersionMismatch);
}

TEST(Protocol, AHelloOfAnotherProtocolIsRefused) {
    const Bytes theirs = encode_hello(Protocol::Shim, {.min = 1, .max = 1});

    EXPECT_EQ(accept_hello(open_envelope(theirs).value(), Protocol::Vmm, {.min = 1, .max = 1}).error().code(),
              ErrorCode::InvalidMessage);
}

TEST(Protocol, AHelloWithAnEmptyRangeIsRefused) {
    const Bytes theirs = encode_hello(Protocol::Vmm, {.min = 3, .max = 1});

    EXPECT_EQ(accept_hello(open_envelope(theirs).value(), Protocol::Vmm, {.min = 1, .max = 9}).error().code(),
              ErrorCode::InvalidMessage);
}

TEST(Protocol, BothEndsMaySayHelloAtOnce) {
    auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
    const Channel a(std::move(pair.first));
    const Channel b(std::move(pair.second));

    Result<uint16_t> seen_by_b = fail(ErrorCode::Internal, "not run");
    std::thread other([&] { seen_by_b = exchange_hello(b, Protocol::Shim, {.min = 1, .max = 2}); });
    const auto seen_by_a = exchange_hello(a, Protocol::Shim, {.min = 2, .max = 4});
    other.join();

    EXPECT_EQ(seen_by_a.value(), 2);
    EXPECT_EQ(seen_by_b.value(), 2);
}

TEST(Protocol, AFailureKeepsItsCodeAndText) {
    const Bytes message =
        encode_failed(9, Error::from_errno(ENOSPC, "writing", ErrorCode::NoSpace).context("making\nroom"));

    const auto failed = decode_failed(open_envelope(message).value()).value();

    EXPECT_EQ(failed.request, 9U);
    EXPECT_EQ(failed.error.code(), ErrorCode::NoSpace);
    EXPECT_EQ(failed.error.message(), "making?room: writing: No space left on device");
}

TEST(Protocol, AnUnknownErrorCodeBecomesInternal) {
    const Bytes message = encode(Failed{.request = 1, .code = 9999, .reserved = {}, .errno_value = {}}, {});

    EXPECT_EQ(decode_failed(open_envelope(message).value())->error.code(), ErrorCode::Internal);
}

TEST(Protocol, AnAnswerIsWhatWasAskedForOrTheFailureItself) {
    const auto failed = encode_failed(7, Error(ErrorCode::NoFreeMemory, "none"));
    const auto hello = encode_hello(Protocol::Vmm, {.min = 1, .max = 1});
    const auto other = encode_raw(99, {}, {});

    EXPECT_TRUE(decode_answer<Hello>(open_envelope(hello).value()));
    EXPECT_EQ(decode_answer<Hello>(open_envelope(failed).value()).error().code(), ErrorCode::NoFreeMemory);
    EXPECT_EQ(decode_answer<Hello>(open_envelope(other).value()).error().code(), ErrorCode::InvalidMessage);
}

TEST(TextField, BytesBehindTheEndAreNoticed) {
    const auto field = std::bit_cast<TextField<4>>(std::array<char, 4>{'a', '\0', 'b', '\0'});

    EXPECT_EQ(field.text(), std::nullopt);
    EXPECT_EQ(TextField<4>::of("abcd").text(), "abcd");
    EXPECT_EQ(TextField<4>::of("").text(), "");
}

TEST(VmId, OnlyHarmlessFileNamesAreIds) {
    EXPECT_EQ(VmId::parse("0a1b-2")->text(), "0a1b-2");
    EXPECT_TRUE(VmId::parse(std::string(64, 'f')));
    for (const std::string text : {"", ".", "..", "a/b", "A", "a b", "a_b", "ä"})
        EXPECT_FALSE(VmId::parse(text)) << text;
    EXPECT_FALSE(VmId::parse(std::string(65, 'f')));
    EXPECT_FALSE(VmId::parse(std::string_view("a\0b", 3)));
}

TEST(VmId, SurvivesItsField) {
    const auto id = VmId::parse(std::string(64, 'f')).value();

    EXPECT_EQ(VmId::parse(id.field()).value(), id);
    EXPECT_EQ(VmId::parse(VmId::Field()).error().code(), ErrorCode::InvalidMessage);
}

}  // namespace
}  // namespace alcove::api
