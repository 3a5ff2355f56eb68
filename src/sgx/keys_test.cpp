// SPDX-License-Identifier: Apache-2.0
//
// EGETKEY and EREPORT.
#include <gtest/gtest.h>

#include "crypto/aes.hpp"
#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr uint64_t kBase2 = 0x7e00'0000'0000;
constexpr uint64_t kPrivileged =
    attributes::MODE64BIT | attributes::PROVISIONKEY | attributes::EINITTOKEN_KEY;

// The operands lie in the data page, results in the other one.
class Keys : public testing::Test {
  protected:
    Keys() : cpu_(machine_, 0), user_(cpu_) {}
    ~Keys() override {
        if (cpu_.processor().is_inside()) user_.interrupt();
    }

    void enter(const TestEnclave& enclave) {
        if (cpu_.processor().is_inside()) {
            ASSERT_EQ(user_.exit(), success());
        }
        ASSERT_EQ(user_.enter(enclave.tcs()), success());
    }
    Answer ask(const TestEnclave& enclave, const KEYREQUEST& request) {
        EXPECT_TRUE(cpu_.store(enclave.data(), object_bytes(request)));
        return user_.enclu(Enclu::EGETKEY, enclave.data(), enclave.data2());
    }
    Key128 key(const TestEnclave& enclave, const KEYREQUEST& request) {
        EXPECT_EQ(ask(enclave, request), success());
        Key128 value{};
        EXPECT_TRUE(cpu_.load(enclave.data2(), value));
        return value;
    }
    static KEYREQUEST request(KeyName name, uint16_t policy = 0) {
        KEYREQUEST request{};
        request.KEYNAME = static_cast<uint16_t>(name);
        request.KEYPOLICY = policy;
        return request;
    }
    REPORT report(const TestEnclave& enclave, const TARGETINFO& target, const REPORTDATA& data) {
        EXPECT_TRUE(cpu_.store(enclave.data(), object_bytes(target)));
        EXPECT_TRUE(cpu_.store(enclave.data() + 1024, object_bytes(data)));
        EXPECT_EQ(user_.enclu(Enclu::EREPORT, enclave.data(), enclave.data() + 1024, enclave.data2()),
                  success());
        REPORT report{};
        EXPECT_TRUE(cpu_.load(enclave.data2(), {reinterpret_cast<uint8_t*>(&report), sizeof report}));
        return report;
    }

    FakeMachine machine_;
    FakeCpu cpu_;
    EnclaveMaker user_;
};

TEST_F(Keys, SealKeysAreTheSameForTheSameAndDifferForTheRest) {
    const auto enclave = TestEnclave::make(user_);
    const auto other = TestEnclave::make(user_, PageIndex{10}, attributes::MODE64BIT, kBase2,
                                         [](SECS& secs, SIGSTRUCT& sigstruct) {
                                             secs.SSAFRAMESIZE = 1;
                                             secs.SIZE = 2 * TestEnclave::kSize;  // another MRENCLAVE
                                             sigstruct.ISVSVN = 4;
                                         });
    enter(enclave);
    const auto by_signer = key(enclave, request(KeyName::SEAL_KEY, keypolicy::MRSIGNER));
    const auto by_enclave = key(enclave, request(KeyName::SEAL_KEY, keypolicy::MRENCLAVE));
    EXPECT_EQ(key(enclave, request(KeyName::SEAL_KEY, keypolicy::MRSIGNER)), by_signer);
    EXPECT_NE(by_signer, by_enclave);
    auto with_id = request(KeyName::SEAL_KEY, keypolicy::MRSIGNER);
    with_id.KEYID[31] = 1;
    EXPECT_NE(key(enclave, with_id), by_signer);

    enter(other);
    EXPECT_EQ(key(other, request(KeyName::SEAL_KEY, keypolicy::MRSIGNER)), by_signer);  // the newer opens old
    EXPECT_NE(key(other, request(KeyName::SEAL_KEY, keypolicy::MRENCLAVE)), by_enclave);
}

TEST_F(Keys, ADebugEnclaveGetsOtherKeysWhateverItMasks) {
    const auto enclave = TestEnclave::make(user_);
    const auto debug =
        TestEnclave::make(user_, PageIndex{10}, attributes::MODE64BIT | attributes::DEBUG, kBase2);
    enter(enclave);
    const auto real = key(enclave, request(KeyName::SEAL_KEY, keypolicy::MRENCLAVE));
    enter(debug);
    EXPECT_NE(key(debug, request(KeyName::SEAL_KEY, keypolicy::MRENCLAVE)), real);
}

TEST_F(Keys, VersionsBeyondOnesOwnAreRefused) {
    const auto enclave = TestEnclave::make(user_);  // ISVSVN 3
    enter(enclave);
    auto seal = request(KeyName::SEAL_KEY);
    seal.ISVSVN = 3;
    const auto newest = key(enclave, seal);
    seal.ISVSVN = 2;
    EXPECT_NE(key(enclave, seal), newest);
    seal.ISVSVN = 4;
    EXPECT_EQ(ask(enclave, seal), status(INVALID_ISVSVN));
    seal.ISVSVN = 3;
    seal.CPUSVN = {1};
    EXPECT_EQ(ask(enclave, seal), success());
    seal.CPUSVN = {2};
    EXPECT_EQ(ask(enclave, seal), status(INVALID_CPUSVN));
    seal.CPUSVN = {0, 1};
    EXPECT_EQ(ask(enclave, seal), status(INVALID_CPUSVN));
}

TEST_F(Keys, PrivilegedKeysNeedTheAttribute) {
    const auto enclave = TestEnclave::make(user_);
    const auto privileged = TestEnclave::make(user_, PageIndex{10}, kPrivileged, kBase2);
    enter(enclave);
    for (const auto name : {KeyName::EINITTOKEN_KEY, KeyName::PROVISION_KEY, KeyName::PROVISION_SEAL_KEY})
        EXPECT_EQ(ask(enclave, request(name)), status(INVALID_ATTRIBUTE));
    EXPECT_EQ(ask(enclave, request(static_cast<KeyName>(5))), status(INVALID_KEYNAME));
    enter(privileged);
    const auto token = key(privileged, request(KeyName::EINITTOKEN_KEY));
    const auto provision = key(privileged, request(KeyName::PROVISION_KEY));
    const auto seal = key(privileged, request(KeyName::PROVISION_SEAL_KEY));
    EXPECT_NE(token, provision);
    EXPECT_NE(provision, seal);
}

TEST_F(Keys, ATokenOfALaunchEnclavePermitsWhatItNames) {
    const auto launcher = TestEnclave::make(user_, PageIndex{10}, kPrivileged, kBase2);
    constexpr PageIndex kOther{30};
    const SECS secs = EnclaveMaker::secs(TestEnclave::kBase, TestEnclave::kSize);
    ASSERT_EQ(user_.ecreate(kOther, secs), success());
    auto sigstruct = EnclaveMaker::unsigned_sigstruct(secs, user_.measurement());
    ASSERT_TRUE(sign(sigstruct, test_signing_key()));
    enter(launcher);
    auto wanted = request(KeyName::EINITTOKEN_KEY);
    wanted.KEYID[3] = 7;
    wanted.ISVSVN = 2;
    const auto launch_key = key(launcher, wanted);
    user_.exit();

    EINITTOKEN token{};
    token.VALID = EINITTOKEN::kValid;
    token.ATTRIBUTES = secs.ATTRIBUTES;
    token.MRENCLAVE = user_.measurement();
    token.MRSIGNER = mrsigner_of(sigstruct);
    token.KEYID = wanted.KEYID;
    token.ISVPRODIDLE = 7;
    token.ISVSVNLE = 2;
    token.MASKEDATTRIBUTESLE.FLAGS = attributes::INIT;
    const auto with_mac = [&](EINITTOKEN made) {
        made.MAC = crypto::aes_cmac(launch_key, {object_bytes(made).first(EINITTOKEN::kMaced)});
        return made;
    };
    auto wrong = with_mac(token);
    wrong.MAC[15] ^= 1;
    EXPECT_EQ(user_.einit(kOther, sigstruct, wrong), status(INVALID_EINITTOKEN));
    wrong = token;
    wrong.MRENCLAVE[0] ^= 1;
    EXPECT_EQ(user_.einit(kOther, sigstruct, with_mac(wrong)), status(INVALID_MEASUREMENT));
    wrong = token;
    wrong.MRSIGNER[31] ^= 1;
    EXPECT_EQ(user_.einit(kOther, sigstruct, with_mac(wrong)), status(INVALID_MEASUREMENT));
    wrong = token;
    wrong.ATTRIBUTES.XFRM = 7;
    EXPECT_EQ(user_.einit(kOther, sigstruct, with_mac(wrong)), status(INVALID_ATTRIBUTE));
    EXPECT_EQ(user_.einit(kOther, sigstruct, with_mac(token)), success());
}

TEST_F(Keys, RequestsAreChecked) {
    const auto enclave = TestEnclave::make(user_);
    enter(enclave);
    auto bad = request(KeyName::SEAL_KEY);
    bad.RESERVED1[1] = 1;
    EXPECT_EQ(ask(enclave, bad), gp());
    bad = request(KeyName::SEAL_KEY);
    bad.RESERVED2[433] = 1;
    EXPECT_EQ(ask(enclave, bad), gp());
    EXPECT_EQ(ask(enclave, request(KeyName::SEAL_KEY, 0x40)), gp());
    EXPECT_EQ(ask(enclave, request(KeyName::SEAL_KEY, keypolicy::CONFIGID)), gp());  // without KSS
    bad = request(KeyName::SEAL_KEY);
    bad.CONFIGSVN = 1;
    EXPECT_EQ(ask(enclave, bad), gp());
    ASSERT_EQ(ask(enclave, request(KeyName::SEAL_KEY)), success());
    EXPECT_EQ(user_.enclu(Enclu::EGETKEY, enclave.data() + 256, enclave.data2()), gp());
    EXPECT_EQ(user_.enclu(Enclu::EGETKEY, enclave.data(), enclave.data2() + 8), gp());
    EXPECT_EQ(user_.enclu(Enclu::EGETKEY, enclave.data(), 0x1000), gp());
    EXPECT_EQ(user_.enclu(Enclu::EGETKEY, enclave.data(), enclave.at(2)),
              epcm_pf(enclave.at(2), pfec::U | pfec::W));  // code cannot be written
    EXPECT_EQ(user_.enclu(Enclu::EGETKEY, enclave.tcs(), enclave.data2()), epcm_pf(enclave.tcs(), pfec::U));
}

TEST_F(Keys, KssSeparatesConfigurations) {
    const auto with_config = [](uint8_t id, uint16_t svn) {
        return [=](SECS& secs, SIGSTRUCT& sigstruct) {
            secs.CONFIGID[0] = id;
            secs.CONFIGSVN = svn;
            sigstruct.ISVFAMILYID = {9};
            sigstruct.ISVEXTPRODID = {8};
        };
    };
    constexpr uint64_t kKss = attributes::MODE64BIT | attributes::KSS;
    const auto one = TestEnclave::make(user_, PageIndex{0}, kKss, TestEnclave::kBase, with_config(1, 5));
    const auto two = TestEnclave::make(user_, PageIndex{10}, kKss, kBase2, with_config(2, 5));
    auto by_config = request(KeyName::SEAL_KEY, keypolicy::MRENCLAVE | keypolicy::CONFIGID);
    by_config.CONFIGSVN = 5;
    const auto by_enclave = request(KeyName::SEAL_KEY, keypolicy::MRENCLAVE | keypolicy::ISVFAMILYID);
    enter(one);
    const auto config_of_one = key(one, by_config);
    const auto enclave_of_one = key(one, by_enclave);
    auto beyond = by_config;
    beyond.CONFIGSVN = 6;
    EXPECT_EQ(ask(one, beyond), status(INVALID_ISVSVN));
    const auto report_of_one = report(one, TARGETINFO{}, REPORTDATA{});
    EXPECT_EQ(report_of_one.CONFIGID[0], 1);
    EXPECT_EQ(report_of_one.CONFIGSVN, 5U);
    EXPECT_EQ(report_of_one.ISVFAMILYID[0], 9);
    EXPECT_EQ(report_of_one.ISVEXTPRODID[0], 8);
    enter(two);
    EXPECT_NE(key(two, by_config), config_of_one);
    EXPECT_EQ(key(two, by_enclave), enclave_of_one);
}

TEST_F(Keys, AReportConvincesItsTargetOnly) {
    const auto sender = TestEnclave::make(user_);
    const Measurement sender_measurement = user_.measurement();
    const auto target = TestEnclave::make(user_, PageIndex{10}, attributes::MODE64BIT, kBase2,
                                          [](SECS& secs, SIGSTRUCT&) { secs.SIZE = 2 * TestEnclave::kSize; });
    enter(target);
    const auto self = report(target, TARGETINFO{}, REPORTDATA{});
    TARGETINFO info{};
    info.MEASUREMENT = self.MRENCLAVE;
    info.ATTRIBUTES = self.ATTRIBUTES;
    info.MISCSELECT = self.MISCSELECT;

    enter(sender);
    REPORTDATA data{};
    data.bytes[63] = 0x5e;
    const auto sent = report(sender, info, data);
    EXPECT_EQ(sent.MRENCLAVE, sender_measurement);
    EXPECT_EQ(sent.ISVPRODID, 7U);
    EXPECT_EQ(sent.ISVSVN, 3U);
    EXPECT_NE(sent.ATTRIBUTES.FLAGS & attributes::INIT, 0U);
    EXPECT_EQ(sent.REPORTDATA.bytes, data.bytes);
    auto report_request = request(KeyName::REPORT_KEY);
    report_request.KEYID = sent.KEYID;
    const auto senders_key = key(sender, report_request);

    enter(target);
    const auto targets_key = key(target, report_request);
    const auto mac = [&](const Key128& by) {
        return crypto::aes_cmac(by, {object_bytes(sent).first(REPORT::kMaced)});
    };
    EXPECT_EQ(mac(targets_key), sent.MAC);
    EXPECT_NE(mac(senders_key), sent.MAC);
}

TEST_F(Keys, TargetinfoIsChecked) {
    const auto enclave = TestEnclave::make(user_);
    enter(enclave);
    TARGETINFO bad{};
    bad.RESERVED3[383] = 1;
    ASSERT_TRUE(cpu_.store(enclave.data(), object_bytes(bad)));
    EXPECT_EQ(user_.enclu(Enclu::EREPORT, enclave.data(), enclave.data() + 1024, enclave.data2()), gp());
    ASSERT_TRUE(cpu_.store(enclave.data(), object_bytes(TARGETINFO{})));
    EXPECT_EQ(user_.enclu(Enclu::EREPORT, enclave.data() + 128, enclave.data() + 1024, enclave.data2()),
              gp());
    EXPECT_EQ(user_.enclu(Enclu::EREPORT, enclave.data(), enclave.data() + 64, enclave.data2()), gp());
    EXPECT_EQ(user_.enclu(Enclu::EREPORT, enclave.data(), enclave.data() + 1024, enclave.data2() + 256),
              gp());
    EXPECT_EQ(user_.enclu(Enclu::EREPORT, enclave.data(), enclave.data() + 1024, enclave.data2()), success());
}

}  // namespace
}  // namespace alcove::sgx
