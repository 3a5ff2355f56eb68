// SPDX-License-Identifier: Apache-2.0
#include "nsm/service.hpp"

#include <set>

#include <gtest/gtest.h>

#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"
#include "nsm/fake_attestor.hpp"
#include "nsm/request_bytes_test.hpp"
#include "nsm/response.hpp"

namespace alcove::nsm {
namespace {

namespace cbor = codec::cbor;

Bytes with_number(std::string_view name, std::string_view field, uint64_t number) {
    cbor::Writer writer;
    writer.map(1).text(name).map(1).text(field).unsigned_integer(number);
    return to_bytes(writer.view());
}

Bytes extend(uint64_t index, std::string_view data) {
    cbor::Writer writer;
    writer.map(1)
        .text("ExtendPCR")
        .map(2)
        .text("index")
        .unsigned_integer(index)
        .text("data")
        .bytes(as_byte_view(data));
    return to_bytes(writer.view());
}

Bytes attestation(size_t user_data, size_t nonce, size_t public_key) {
    cbor::Writer writer;
    writer.map(1).text("Attestation").map(3);
    writer.text("user_data").bytes(Bytes(user_data, 1)).text("nonce").bytes(Bytes(nonce, 2));
    writer.text("public_key").bytes(Bytes(public_key, 3));
    return to_bytes(writer.view());
}

class ServiceTest : public testing::Test {
  protected:
    Bytes ask(ByteView request, size_t capacity = 0x3000) {
        std::optional<Bytes> answer;
        service.handle(request, capacity, [&](Bytes response) { answer = std::move(response); });
        EXPECT_TRUE(answer);
        return answer.value_or(Bytes());
    }
    static Bytes error(NsmStatus status) { return response::error(status); }

    FakeAttestor attestor;
    NsmService service{attestor};
};

TEST_F(ServiceTest, AnswersWithTheAttestorsRegisters) {
    const auto extended = ask(extend(16, "data"));

    EXPECT_EQ(extended, response::extend_pcr(attestor.pcrs.value(16)));
    EXPECT_EQ(ask(with_number("DescribePCR", "index", 16)),
              response::describe_pcr(false, attestor.pcrs.value(16)));
    EXPECT_EQ(ask(with_number("LockPCR", "index", 16)), response::lock_pcr());
    EXPECT_EQ(ask(with_number("DescribePCR", "index", 16)),
              response::describe_pcr(true, attestor.pcrs.value(16)));
    EXPECT_EQ(ask(with_number("LockPCRs", "range", 32)), response::lock_pcrs());
    EXPECT_EQ(ask(bare("DescribeNSM")), response::describe_nsm("i-fake-enc0", 32, 0xffffffff));
}

TEST_F(ServiceTest, ErrorsHaveTheReferencesNames) {
    EXPECT_EQ(ask(extend(0, "x")), error(NsmStatus::ReadOnlyIndex));
    EXPECT_EQ(ask(with_number("LockPCR", "index", 15)), error(NsmStatus::ReadOnlyIndex));
    for (const uint64_t index : {uint64_t{32}, uint64_t{255}, uint64_t{256}, uint64_t{1} << 32, UINT64_MAX}) {
        EXPECT_EQ(ask(with_number("DescribePCR", "index", index)), error(NsmStatus::InvalidIndex));
        EXPECT_EQ(ask(with_number("LockPCR", "index", index)), error(NsmStatus::InvalidIndex));
        EXPECT_EQ(ask(extend(index, "x")), error(NsmStatus::InvalidIndex));
    }
    EXPECT_EQ(ask(with_number("LockPCRs", "range", 33)), error(NsmStatus::InvalidIndex));
    EXPECT_EQ(ask(with_number("LockPCRs", "range", UINT64_MAX)), error(NsmStatus::InvalidIndex));
    EXPECT_EQ(ask(bare("Nonsense")), error(NsmStatus::InvalidOperation));
    EXPECT_EQ(ask(Bytes(4097, 0)), error(NsmStatus::InputTooLarge));
    EXPECT_EQ(attestor.pcrs.locked(), 0xffffU);
}

TEST_F(ServiceTest, AttestationFieldsHaveTheirLimits) {
    ask(attestation(1024, 1024, 1024));
    EXPECT_EQ(service.counters().documents, 1U);

    for (const auto& request : {attestation(1025, 0, 1), attestation(0, 1025, 1), attestation(0, 0, 1025)})
        EXPECT_EQ(ask(request), error(NsmStatus::InputTooLarge));
    EXPECT_EQ(attestor.asked, 1U);
}

TEST_F(ServiceTest, RandomNumbersNeedNoAttestorAndDiffer) {
    std::set<Bytes> seen;
    for (int i = 0; i < 16; ++i)
        seen.insert(ask(bare("GetRandom")));

    EXPECT_EQ(seen.size(), 16U);
    EXPECT_EQ(seen.begin()->size(), 22U + response::kRandomSize);
    EXPECT_EQ(attestor.asked, 0U);
}

TEST_F(ServiceTest, AnAnswerThatDoesNotFitIsSaidOrLeftOut) {
    EXPECT_EQ(ask(bare("GetRandom"), 100), error(NsmStatus::BufferTooSmall));
    EXPECT_EQ(ask(bare("GetRandom"), error(NsmStatus::BufferTooSmall).size()),
              error(NsmStatus::BufferTooSmall));
    EXPECT_EQ(ask(bare("GetRandom"), 4), Bytes());
    EXPECT_EQ(ask(bare("GetRandom"), 0), Bytes());
    EXPECT_EQ(service.counters().failures, 4U);
}

TEST_F(ServiceTest, AnAttestorThatFailsIsAnInternalError) {
    attestor.failure = Error(ErrorCode::ConnectionLost, "gone");
    EXPECT_EQ(ask(bare("DescribeNSM")), error(NsmStatus::InternalError));

    attestor.failure.reset();
    for (const Bytes& wrong : {Bytes{}, Bytes{1, 2, 3}, api::encode(api::attestor::Done{})}) {
        attestor.wrong_answer = wrong;
        EXPECT_EQ(ask(bare("DescribeNSM")), error(NsmStatus::InternalError));
    }
}

TEST_F(ServiceTest, NothingIsCalledAfterTheServiceIsGone) {
    attestor.at_once = false;
    auto gone = std::make_unique<NsmService>(attestor);
    bool called = false;
    gone->handle(bare("DescribeNSM"), 100, [&](const Bytes&) { called = true; });

    gone.reset();
    attestor.deliver();

    EXPECT_FALSE(called);
}

TEST_F(ServiceTest, CountsWhatItDid) {
    ask(bare("GetRandom"));
    ask(bare("Nonsense"));
    ask(attestation(0, 0, 1));

    EXPECT_EQ(service.counters().requests, 3U);
    EXPECT_EQ(service.counters().failures, 1U);
    EXPECT_EQ(service.counters().documents, 1U);
}

}  // namespace
}  // namespace alcove::nsm
