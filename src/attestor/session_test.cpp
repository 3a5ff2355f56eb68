// SPDX-License-Identifier: Apache-2.0
#include "attestor/session.hpp"

#include <gtest/gtest.h>

#include "attestation/verifier.hpp"
#include "attestor/test_folder.hpp"
#include "crypto/random.hpp"
#include "support/system.hpp"

namespace alcove::attestor {
namespace {

namespace wire = api::attestor;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using wire::NsmStatus;

constexpr uint32_t kRequest = 7;

wire::PcrValue filled(uint8_t byte) {
    wire::PcrValue value;
    value.fill(byte);
    return value;
}

wire::Open open_message(const std::string& vm_id = "vm-1") {
    wire::Open open{};
    open.request = kRequest;
    open.vm_id = api::VmId::Field::of(vm_id);
    open.module_id = api::TextField<128>::of("i-0123456789abcdef0-enc0000000000000001");
    open.pcr3 = filled(0x33);
    open.pcr4 = filled(0x44);
    open.host_time_ms = 1'750'000'000'000;
    return open;
}

wire::Measured measured_message(uint8_t pcr0 = 0x10, uint32_t flags = 0) {
    return {.request = kRequest,
            .flags = flags,
            .pcr0 = filled(pcr0),
            .pcr1 = filled(0x11),
            .pcr2 = filled(0x12),
            .pcr8 = filled(0x18)};
}

Bytes hello() {
    return api::encode_hello(api::Protocol::Attestor, wire::kVersions);
}

class SessionTest : public testing::Test {
  protected:
    // A reply of this type, or a failed test.
    template <typename T>
    T expect(const Session::Reply& reply) {
        EXPECT_FALSE(reply.violation) << reply.violation->to_string();
        if (!reply.message) {
            ADD_FAILURE() << "there is no answer";
            return {};
        }
        replies.push_back(*reply.message);
        const auto envelope = api::open_envelope(replies.back());
        EXPECT_TRUE(envelope);
        const auto body = read_object<T>(envelope->body);
        EXPECT_EQ(envelope->type, T::kType);
        EXPECT_TRUE(body);
        return body.value_or(T{});
    }
    template <typename T>
    T ask(Session& session, const auto& message) {
        return expect<T>(session.handle(api::encode(message)));
    }
    NsmStatus rejection(Session& session, const auto& message) {
        const auto rejected = ask<wire::Rejected>(session, message);
        EXPECT_EQ(rejected.request, kRequest);
        return static_cast<NsmStatus>(static_cast<uint32_t>(rejected.status));
    }
    void expect_violation(Session& session, const Bytes& message) {
        const auto reply = session.handle(message);
        EXPECT_TRUE(reply.violation);
        ASSERT_TRUE(reply.message);
        const auto envelope = api::open_envelope(*reply.message);
        EXPECT_EQ(envelope->type, api::Failed::kType);
    }

    std::unique_ptr<Session> greeted(PeerRole role = PeerRole::Broker) {
        auto session = std::make_unique<Session>(shared, role);
        EXPECT_FALSE(session->handle(hello()).violation);
        return session;
    }
    std::unique_ptr<Session> serving(const std::string& vm_id = "vm-1", uint32_t flags = 0) {
        auto session = greeted();
        ask<wire::Done>(*session, open_message(vm_id));
        token = ask<wire::Sealed>(*session, measured_message(0x10, flags)).token;
        return session;
    }
    Bytes document(Session& session, const wire::AttestFields& fields = {}) {
        const auto reply = session.handle(wire::encode_attest(kRequest, fields));
        expect<wire::Document>(reply);
        const auto envelope = api::open_envelope(replies.back());
        return to_bytes(api::decode_with_tail<wire::Document>(*envelope)->tail);
    }
    attestation::Verification verify(ByteView encoded, bool allow_debug = false) {
        attestation::Policy policy;
        policy.root = authority.root();
        policy.now = now;
        policy.allow_debug = allow_debug;
        return attestation::verify_document(encoded, policy);
    }
    Bytes resume_message() const {
        return api::encode(wire::Resume{.request = kRequest, .reserved = {}, .token = token});
    }
    Bytes forget_message() const {
        return api::encode(wire::Forget{.request = kRequest, .reserved = {}, .token = token});
    }
    static Bytes extend_message(uint32_t index, std::string_view data) {
        return api::encode(wire::ExtendPcr{.request = kRequest, .index = index}, as_byte_view(data));
    }

    TestFolder folder;
    TimePoint now{seconds(1'750'000'000)};
    Authority authority = Authority::ephemeral(HostKind::Production, [this] { return now; }).value();
    SessionStore store = SessionStore::open(folder / "run").value();
    Shared shared{.authority = authority, .store = store};
    ResumeToken token{};
    std::vector<Bytes> replies;
};

TEST_F(SessionTest, ADocumentSaysWhatWasMeasured) {
    const auto session = serving();
    const Bytes nonce = {1, 2, 3};

    const auto result = verify(document(*session, {.user_data = {}, .nonce = nonce, .public_key = {}}));

    ASSERT_TRUE(result.verified()) << result.error->to_string();
    EXPECT_EQ(result.document->module_id, "i-0123456789abcdef0-enc0000000000000001");
    EXPECT_EQ(result.document->nonce, nonce);
    EXPECT_EQ(result.document->pcrs.size(), 16U);
    const std::pair<uint32_t, uint8_t> expected[] = {{0, 0x10}, {1, 0x11}, {2, 0x12}, {3, 0x33},
                                                     {4, 0x44}, {5, 0},    {8, 0x18}, {15, 0}};
    for (const auto& [index, byte] : expected)
        EXPECT_EQ(result.document->pcrs.at(index), Bytes(48, byte)) << index;
}

TEST_F(SessionTest, ADebugEnclavesDocumentHidesWhatRuns) {
    const auto session = serving("vm-1", wire::Measured::kDebug);

    const auto encoded = document(*session);

    EXPECT_EQ(verify(encoded).error->code(), ErrorCode::DebugEnclave);
    const auto result = verify(encoded, true);
    ASSERT_TRUE(result.verified()) << result.error->to_string();
    for (const uint32_t index : {0U, 1U, 2U})
        EXPECT_EQ(result.document->pcrs.at(index), Bytes(48, 0));
    EXPECT_EQ(result.document->pcrs.at(3), Bytes(48, 0x33));
    EXPECT_EQ(result.document->pcrs.at(4), Bytes(48, 0x44));
    EXPECT_EQ(result.document->pcrs.at(8), Bytes(48, 0x18));
}

TEST_F(SessionTest, FlagsThatNobodyKnowsAreRefused) {
    const auto session = greeted();
    ask<wire::Done>(*session, open_message());

    expect_violation(*session, api::encode(measured_message(0x10, 2)));
}

// What a broken VMM would try: to measure again, as another VM.
TEST_F(SessionTest, AForgedMeasurementEndsTheConversationAndTheVmsAttestation) {
    const auto session = serving();
    ASSERT_EQ(store.names().value().size(), 1U);

    expect_violation(*session, api::encode(measured_message(0x66)));

    EXPECT_EQ(shared.counters.violations, 1U);
    expect_violation(*session, wire::encode_attest(kRequest, {}));
    EXPECT_EQ(shared.counters.documents, 0U);
    EXPECT_TRUE(store.names().value().empty());
    expect_violation(*greeted(PeerRole::Keeper), resume_message());
}

TEST_F(SessionTest, AServedVmCanNotGoBack) {
    const Bytes attempts[] = {hello(),
                              api::encode(open_message("vm-2")),
                              resume_message(),
                              forget_message(),
                              api::encode(wire::GetStatus{.request = 1, .reserved = {}}),
                              api::encode(wire::GetRootCertificate{.request = 1, .reserved = {}})};

    for (const auto& attempt : attempts)
        expect_violation(*serving(), attempt);
}

TEST_F(SessionTest, NothingIsDoneBeforeItsTurn) {
    Session silent(shared, PeerRole::Broker);
    const auto early = greeted();
    const auto opened = greeted();
    ask<wire::Done>(*opened, open_message());

    expect_violation(silent, api::encode(open_message("vm-2")));
    expect_violation(*early, api::encode(measured_message()));
    expect_violation(*opened, wire::encode_attest(kRequest, {}));
}

TEST_F(SessionTest, MalformedMessagesEndTheConversation) {
    const Bytes good = api::encode(wire::DescribePcr{.request = 1, .index = 0});
    auto longer = good;
    longer.push_back(0);
    auto longer_and_honest = longer;
    longer_and_honest[4] = static_cast<uint8_t>(longer_and_honest.size());
    auto flagged = good;
    flagged[2] = 1;
    const Bytes cases[] = {
        {},
        {1},
        Bytes(good.begin(), good.end() - 1),
        longer,
        longer_and_honest,
        flagged,
        api::encode_raw(999, {}, {}),
        api::encode_raw(wire::ExtendPcr::kType, Bytes(8, 0), Bytes(wire::kMaxRequest + 1, 0)),
        api::encode_raw(wire::Attest::kType, Bytes(16, 0), Bytes(1, 0))};

    for (const auto& message : cases)
        expect_violation(*serving(), message);
}

TEST_F(SessionTest, AVmIsOpenOnce) {
    auto first = serving("vm-1");
    expect_violation(*greeted(), api::encode(open_message("vm-1")));
    ASSERT_TRUE(verify(document(*first)).verified());

    first.reset();

    ask<wire::Done>(*greeted(), open_message("vm-1"));
}

TEST_F(SessionTest, ABadOpenIsRefused) {
    auto no_module = open_message();
    no_module.module_id = {};
    auto unprintable = open_message();
    unprintable.module_id = api::TextField<128>::of("i\nx");
    auto no_vm = open_message();
    no_vm.vm_id = {};

    for (const auto& message : {no_module, unprintable, no_vm})
        expect_violation(*greeted(), api::encode(message));
    EXPECT_TRUE(shared.open_vms.empty());
}

TEST_F(SessionTest, AReaderAsksButOpensNothing) {
    const auto reader = greeted(PeerRole::Reader);
    const auto vm = serving();

    const auto root = reader->handle(api::encode(wire::GetRootCertificate{.request = 3, .reserved = {}}));
    expect<wire::RootCertificate>(root);
    const auto status = ask<wire::Status>(*reader, wire::GetStatus{.request = 4, .reserved = {}});

    const auto pem = api::decode_with_tail<wire::RootCertificate>(*api::open_envelope(*root.message))->tail;
    EXPECT_EQ(Certificate::from_pem(as_text(pem)).value(), authority.root());
    EXPECT_EQ(status.vms, 1U);
    EXPECT_EQ(status.resumable, 0U);
    EXPECT_EQ(status.root_fingerprint, authority.root().fingerprint());
    expect_violation(*reader, api::encode(open_message("vm-2")));
}

TEST_F(SessionTest, AnotherVersionIsRefused) {
    Session session(shared, PeerRole::Broker);

    const auto reply = session.handle(api::encode_hello(api::Protocol::Attestor, {.min = 70, .max = 71}));

    EXPECT_EQ(reply.violation->code(), ErrorCode::VersionMismatch);
}

// nitro.md 4.4.
TEST_F(SessionTest, PcrRulesAreTheNsms) {
    const auto session = serving();

    const auto extended = expect<wire::PcrExtended>(session->handle(extend_message(16, "data")));
    const auto described =
        ask<wire::PcrDescription>(*session, wire::DescribePcr{.request = kRequest, .index = 16});
    ask<wire::Done>(*session, wire::LockPcr{.request = kRequest, .index = 16});
    const auto locked =
        ask<wire::PcrDescription>(*session, wire::DescribePcr{.request = kRequest, .index = 16});

    EXPECT_EQ(extended.value, crypto::sha384({wire::PcrValue{}, as_byte_view("data")}));
    EXPECT_EQ(described.value, extended.value);
    EXPECT_EQ(described.locked, 0U);
    EXPECT_EQ(locked.locked, 1U);
    EXPECT_EQ(rejection(*session, wire::LockPcr{.request = kRequest, .index = 16}), NsmStatus::ReadOnlyIndex);
    EXPECT_EQ(rejection(*session, wire::LockPcr{.request = kRequest, .index = 0}), NsmStatus::ReadOnlyIndex);
    EXPECT_EQ(rejection(*session, wire::LockPcr{.request = kRequest, .index = 32}), NsmStatus::InvalidIndex);
    EXPECT_EQ(rejection(*session, wire::LockPcrs{.request = kRequest, .range = 33}), NsmStatus::InvalidIndex);
    EXPECT_EQ(rejection(*session, wire::DescribePcr{.request = kRequest, .index = 32}),
              NsmStatus::InvalidIndex);
    for (const uint32_t index : {0U, 15U, 16U})
        expect<wire::Rejected>(session->handle(extend_message(index, "data")));
    ask<wire::Done>(*session, wire::LockPcrs{.request = kRequest, .range = 32});
    ask<wire::Done>(*session, wire::LockPcrs{.request = kRequest, .range = 32});
    EXPECT_EQ(
        ask<wire::Description>(*session, wire::Describe{.request = kRequest, .reserved = {}}).locked_pcrs,
        0xffffffffU);
}

// What AWS's nsm-check asks of an enclave that is unsigned, on a parent without a role (nitro.md 4.4).
TEST_F(SessionTest, PassesTheReferencesChecklist) {
    auto open = open_message();
    open.pcr3 = {};
    auto measured = measured_message();
    measured.pcr8 = {};
    const auto session = greeted();
    ask<wire::Done>(*session, open);
    ask<wire::Sealed>(*session, measured);
    const Bytes largest(1024, 0x5a);

    const auto description =
        ask<wire::Description>(*session, wire::Describe{.request = kRequest, .reserved = {}});
    EXPECT_EQ(description.locked_pcrs, 0xffffU);
    EXPECT_EQ(description.max_pcrs, 32U);
    EXPECT_FALSE(description.module_id.text()->empty());
    for (uint32_t index = 0; index < 32; ++index) {
        const bool zero = index == 3 || index >= 5;
        const auto pcr =
            ask<wire::PcrDescription>(*session, wire::DescribePcr{.request = kRequest, .index = index});
        EXPECT_EQ(pcr.value == wire::PcrValue{}, zero) << index;
    }
    ask<wire::Done>(*session, wire::LockPcrs{.request = kRequest, .range = 32});
    const wire::AttestFields variants[] = {{},
                                           {.user_data = largest, .nonce = {}, .public_key = {}},
                                           {.user_data = largest, .nonce = largest, .public_key = {}},
                                           {.user_data = largest, .nonce = largest, .public_key = largest}};
    for (const auto& fields : variants) {
        const auto result = verify(document(*session, fields));
        ASSERT_TRUE(result.verified()) << result.error->to_string();
        EXPECT_EQ(result.document->pcrs.size(), 32U);
    }
}

TEST_F(SessionTest, AnEmptyPublicKeyIsRejectedAndEmptyDataIsNot) {
    const auto session = serving();

    const auto rejected = expect<wire::Rejected>(session->handle(
        wire::encode_attest(kRequest, {.user_data = {}, .nonce = {}, .public_key = ByteView{}})));

    EXPECT_EQ(rejected.status, static_cast<uint32_t>(NsmStatus::InvalidArgument));
    EXPECT_EQ(shared.counters.rejected, 1U);
    EXPECT_TRUE(verify(document(*session, {.user_data = ByteView{}, .nonce = ByteView{}, .public_key = {}}))
                    .verified());
}

TEST_F(SessionTest, TheEnclavesCertificateIsUsedAgainUntilItsEndIsNear) {
    const auto session = serving();
    const auto first = verify(document(*session));

    now += hours(2);
    const auto second = verify(document(*session));
    now += minutes(55);
    const auto third = verify(document(*session));

    ASSERT_TRUE(first.verified() && second.verified() && third.verified());
    EXPECT_EQ(second.document->certificate, first.document->certificate);
    EXPECT_NE(third.document->certificate, first.document->certificate);
    EXPECT_EQ(third.document->cabundle, first.document->cabundle);
}

TEST_F(SessionTest, TheIntermediateIsRenewedWhileTheProcessRuns) {
    const auto session = serving();
    const auto first = verify(document(*session));

    now += hours(24) * 25;
    const auto later = verify(document(*session));

    ASSERT_TRUE(first.verified());
    ASSERT_TRUE(later.verified()) << later.error->to_string();
    EXPECT_NE(later.document->cabundle.back(), first.document->cabundle.back());
    EXPECT_EQ(later.document->cabundle.front(), first.document->cabundle.front());
}

TEST_F(SessionTest, TwoVmsHaveTheirOwnStateAndCertificates) {
    const auto one = serving("vm-1");
    const auto other = serving("vm-2");

    expect<wire::PcrExtended>(one->handle(extend_message(16, "one")));
    const auto pcr = ask<wire::PcrDescription>(*other, wire::DescribePcr{.request = kRequest, .index = 16});

    EXPECT_EQ(pcr.value, wire::PcrValue{});
    EXPECT_NE(verify(document(*one)).document->certificate, verify(document(*other)).document->certificate);
}

TEST_F(SessionTest, ARestartKeepsRegistersLocksAndNames) {
    auto session = serving();
    const auto extended = expect<wire::PcrExtended>(session->handle(extend_message(20, "data")));
    ask<wire::Done>(*session, wire::LockPcr{.request = kRequest, .index = 21});
    session.reset();  // the process ended: nobody called forget()

    Shared after{.authority = authority, .store = store};
    Session resumed(after, PeerRole::Keeper);
    ASSERT_FALSE(resumed.handle(hello()).violation);
    ask<wire::Done>(resumed, wire::Resume{.request = kRequest, .reserved = {}, .token = token});

    const auto pcr = ask<wire::PcrDescription>(resumed, wire::DescribePcr{.request = kRequest, .index = 20});
    EXPECT_EQ(pcr.value, extended.value);
    EXPECT_EQ(rejection(resumed, wire::LockPcr{.request = kRequest, .index = 21}), NsmStatus::ReadOnlyIndex);
    const auto result = verify(document(resumed));
    ASSERT_TRUE(result.verified()) << result.error->to_string();
    EXPECT_EQ(result.document->pcrs.at(0), Bytes(48, 0x10));
    EXPECT_EQ(result.document->module_id, "i-0123456789abcdef0-enc0000000000000001");
}

// A restart at any moment brings back what the VM was told last: nothing is answered that is not stored.
TEST_F(SessionTest, EveryChangeIsStoredBeforeItIsAnswered) {
    const auto session = serving();
    const auto stored = [this] { return store.load(token).value().pcrs; };
    ASSERT_EQ(stored().value(0), filled(0x10));

    const auto extended = expect<wire::PcrExtended>(session->handle(extend_message(16, "data")));
    EXPECT_EQ(stored().value(16), extended.value);
    const auto again = expect<wire::PcrExtended>(session->handle(extend_message(16, "data")));
    EXPECT_NE(again.value, extended.value);
    EXPECT_EQ(stored().value(16), again.value);
    ask<wire::Done>(*session, wire::LockPcr{.request = kRequest, .index = 31});
    EXPECT_EQ(stored().locked(), 0x8000ffffU);
    ask<wire::Done>(*session, wire::LockPcrs{.request = kRequest, .range = 18});
    EXPECT_EQ(stored().locked(), 0x8003ffffU);
}

TEST_F(SessionTest, AVmHasOneConnectionAtATime) {
    auto first = serving();
    expect_violation(*greeted(PeerRole::Keeper), resume_message());
    ASSERT_TRUE(verify(document(*first)).verified()) << "whose token was used twice is not disturbed";
    first.reset();

    const auto second = greeted(PeerRole::Keeper);
    expect<wire::Done>(second->handle(resume_message()));

    expect_violation(*greeted(PeerRole::Keeper), resume_message());
    ASSERT_TRUE(verify(document(*second)).verified());
}

TEST_F(SessionTest, OnlyShimsResumeAndShimsOnlyResume) {
    serving().reset();

    expect_violation(*greeted(PeerRole::Broker), resume_message());
    expect_violation(*greeted(PeerRole::Reader), resume_message());
    expect_violation(*greeted(PeerRole::Broker), forget_message());
    expect_violation(*greeted(PeerRole::Reader), forget_message());
    expect_violation(*greeted(PeerRole::Keeper), api::encode(open_message("vm-2")));
    expect_violation(*greeted(PeerRole::Keeper), api::encode(wire::GetStatus{.request = 1, .reserved = {}}));

    expect<wire::Done>(greeted(PeerRole::Keeper)->handle(resume_message()));
}

TEST_F(SessionTest, NoOtherTokenTakesAVm) {
    serving().reset();
    for (size_t byte = 0; byte < token.size(); ++byte) {
        auto guessed = token;
        guessed[byte] ^= 1;

        const auto reply =
            greeted(PeerRole::Keeper)
                ->handle(api::encode(wire::Resume{.request = kRequest, .reserved = {}, .token = guessed}));

        ASSERT_TRUE(reply.violation);
        EXPECT_EQ(reply.violation->code(), ErrorCode::NotFound);
    }
    EXPECT_EQ(store.names().value().size(), 1U);
}

// The file's name is found, and what is in it decides.
TEST_F(SessionTest, AFileUnderAnotherTokensNameIsRefused) {
    serving().reset();
    auto other = token;
    other[3] ^= 1;
    std::filesystem::rename(folder / "run/" + SessionStore::name_of(token),
                            folder / "run/" + SessionStore::name_of(other));

    EXPECT_EQ(store.load(other).error().code(), ErrorCode::NotFound);
}

TEST_F(SessionTest, AForgottenVmDoesNotComeBack) {
    auto session = serving();
    expect_violation(*greeted(PeerRole::Keeper), forget_message());
    ASSERT_EQ(store.names().value().size(), 1U) << "it has a connection";
    session.reset();

    expect<wire::Done>(greeted(PeerRole::Keeper)->handle(forget_message()));

    EXPECT_TRUE(store.names().value().empty());
    expect<wire::Done>(greeted(PeerRole::Keeper)->handle(forget_message()));
    const auto reply = greeted(PeerRole::Keeper)->handle(resume_message());
    ASSERT_TRUE(reply.violation);
    EXPECT_EQ(reply.violation->code(), ErrorCode::NotFound);
}

TEST_F(SessionTest, ADamagedFileIsRefused) {
    serving().reset();
    const auto path = folder / "run/" + SessionStore::name_of(token);
    auto content = sys::read_file(path, 1 << 20).value();
    content[201] = 0;  // PCR8 to 15 would be unlocked
    ASSERT_TRUE(sys::replace_file(path, content, 0600));

    expect_violation(*greeted(PeerRole::Keeper), resume_message());
}

// A change that can not be kept over a restart is not made.
TEST_F(SessionTest, AChangeThatCanNotBeStoredDoesNotHappen) {
    const auto session = serving();
    std::filesystem::remove_all(folder / "run");

    const auto rejected = expect<wire::Rejected>(session->handle(extend_message(16, "data")));
    const auto pcr = ask<wire::PcrDescription>(*session, wire::DescribePcr{.request = kRequest, .index = 16});

    EXPECT_EQ(rejected.status, static_cast<uint32_t>(NsmStatus::InternalError));
    EXPECT_EQ(pcr.value, wire::PcrValue{});
}

// ECPrivateKey (RFC 5915) of a P-384 key begins INTEGER 1, OCTET STRING of 48. No answer holds such a thing,
// nor the number itself of the one key that a test can know.
TEST_F(SessionTest, NoAnswerHoldsAPrivateKey) {
    const TestFolder state;
    auto stored = Authority::open({.state_folder = state / "keys",
                                   .root_certificate = {},
                                   .root_key = {},
                                   .ca_certificate = {},
                                   .ca_key = {}},
                                  HostKind::Production, [this] { return now; })
                      .value();
    authority = std::move(stored);
    const auto pem = sys::read_file(state / "keys/root.pem", 1 << 16).value();
    const auto der = PrivateKey::from_pem(as_text(pem)).value().to_der().value();
    const Bytes marker = {0x02, 0x01, 0x01, 0x04, 0x30};
    const auto at = as_text(der.view()).find(as_text(marker));
    ASSERT_NE(at, std::string_view::npos);
    const std::string number(as_text(der.view()).substr(at + marker.size(), 48));
    ASSERT_EQ(number.size(), 48U);

    const auto session = serving();
    document(*session);
    ask<wire::Description>(*session, wire::Describe{.request = kRequest, .reserved = {}});
    ask<wire::PcrDescription>(*session, wire::DescribePcr{.request = kRequest, .index = 0});
    expect<wire::PcrExtended>(session->handle(extend_message(16, "data")));
    rejection(*session, wire::LockPcr{.request = kRequest, .index = 0});
    const auto reader = greeted(PeerRole::Reader);
    ask<wire::Status>(*reader, wire::GetStatus{.request = 1, .reserved = {}});
    expect<wire::RootCertificate>(
        reader->handle(api::encode(wire::GetRootCertificate{.request = 1, .reserved = {}})));

    ASSERT_GE(replies.size(), 8U);
    for (const auto& reply : replies) {
        EXPECT_EQ(as_text(reply).find(number), std::string_view::npos);
        EXPECT_EQ(as_text(reply).find(as_text(marker)), std::string_view::npos);
        EXPECT_EQ(as_text(reply).find("PRIVATE KEY"), std::string_view::npos);
    }
}

}  // namespace
}  // namespace alcove::attestor
