// SPDX-License-Identifier: Apache-2.0
//
// ECREATE, EADD, EEXTEND, EINIT and EREMOVE, as a kernel uses and misuses them.
#include <algorithm>

#include <gtest/gtest.h>

#include "crypto/aes.hpp"
#include "sgx/enclave_maker.hpp"
#include "sgx/measurement.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr PageIndex kSecs{0};
constexpr PageIndex kPage{1};
constexpr uint64_t kBase = 0x7f00'0000'0000;
constexpr uint64_t kSize = 16 * kPageSize;
constexpr uint64_t kReg = secinfo::R | secinfo::W | secinfo::pt(PageType::REG);

class Building : public testing::Test {
  protected:
    Building() : cpu_(machine_, 0), kernel_(cpu_) {}
    ~Building() override { EXPECT_EQ(machine_.engine().find_inconsistency(), std::nullopt); }

    Answer create(const std::function<void(SECS&)>& change = {}) {
        SECS secs = EnclaveMaker::secs(kBase, kSize);
        if (change) change(secs);
        return kernel_.ecreate(kSecs, secs);
    }
    // A SECS with one measured page.
    void create_with_page() {
        ASSERT_EQ(create(), success());
        ASSERT_EQ(kernel_.eadd(kPage, kSecs, kBase, kReg), success());
    }
    SIGSTRUCT signature(const std::function<void(SIGSTRUCT&)>& change = {}) {
        auto sigstruct =
            EnclaveMaker::unsigned_sigstruct(EnclaveMaker::secs(kBase, kSize), kernel_.measurement());
        if (change) change(sigstruct);
        sign(sigstruct, test_signing_key()).value();
        permit(sigstruct);
        return sigstruct;
    }
    // The launch key becomes the signer's.
    void permit(const SIGSTRUCT& sigstruct) {
        const auto mrsigner = mrsigner_of(sigstruct);
        for (uint32_t i = 0; i < 4; ++i) {
            Le64 word;
            std::memcpy(&word, mrsigner.data() + 8 * i, sizeof word);
            ASSERT_TRUE(cpu_.processor().write_msr(0x8c + i, word));
        }
    }
    EngineReport report() { return machine_.engine().report(); }

    FakeMachine machine_;
    FakeCpu cpu_;
    EnclaveMaker kernel_;
};

TEST_F(Building, EcreateMakesAnEnclaveThatIsNotInitialized) {
    create_with_page();
    ASSERT_EQ(report().enclaves.size(), 1U);
    const auto enclave = report().enclaves.front();
    EXPECT_EQ(enclave.base, kBase);
    EXPECT_EQ(enclave.size, kSize);
    EXPECT_EQ(enclave.pages, 2U);
    EXPECT_FALSE(enclave.initialized);
}

TEST_F(Building, AnEnclaveIsIdleBeforeItsFirstPageAndAfterItsLast) {
    ASSERT_EQ(create(), success());
    EXPECT_EQ(report().idle.secs, 1U);
    EXPECT_EQ(report().idle.bytes(), kPageSize - kBytesOfEnclave);
    EXPECT_TRUE(report().enclaves.empty());
    EXPECT_EQ(report().valid_pages, 1U);

    ASSERT_EQ(kernel_.eadd(kPage, kSecs, kBase, kReg), success());
    EXPECT_EQ(report().idle.secs, 0U);
    ASSERT_EQ(kernel_.eremove(kPage), success());
    EXPECT_EQ(report().idle.secs, 1U);
    ASSERT_EQ(kernel_.eremove(kSecs), success());
    EXPECT_EQ(report().idle.secs, 0U);
}

TEST_F(Building, AnEnclaveThatIsInitializedIsNotIdle) {
    ASSERT_EQ(create(), success());
    ASSERT_EQ(kernel_.einit(kSecs, signature()), success());
    EXPECT_EQ(report().idle.secs, 0U);
    EXPECT_EQ(report().enclaves.size(), 1U);
}

TEST_F(Building, EcreateChecksItsOperands) {
    ASSERT_EQ(create(), success());  // puts operands in their places
    const uint64_t target = epc_linear(PageIndex{5});
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, kernel_.pageinfo() + 8, target), gp());
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, kernel_.pageinfo(), target + 8), gp());
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, kernel_.pageinfo(), kKernelRam), epcm_pf(kKernelRam));
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, kernel_.pageinfo(), epc_linear(kSecs)),
              epcm_pf(epc_linear(kSecs)));
    const uint64_t nowhere = 0xffff'd000'0000'0000;
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, kernel_.pageinfo(), nowhere).fault,
              (Exception{vector::PF, pfec::W, nowhere}));
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, nowhere, target).fault, (Exception{vector::PF, 0, nowhere}));
    EXPECT_EQ(kernel_.encls(Encls::ECREATE, uint64_t{1} << 48, target), gp());

    const PAGEINFO good{.LINADDR = 0, .SRCPGE = kernel_.source(), .SECINFO = kernel_.secinfo(), .SECS = 0};
    const auto with = [&](const std::function<void(PAGEINFO&)>& change) {
        auto info = good;
        change(info);
        kernel_.put(kernel_.pageinfo(), info);
        return kernel_.encls(Encls::ECREATE, kernel_.pageinfo(), target);
    };
    EXPECT_EQ(with([](PAGEINFO& info) { info.LINADDR = kBase; }), gp());
    EXPECT_EQ(with([](PAGEINFO& info) { info.SECS = epc_linear(kSecs); }), gp());
    EXPECT_EQ(with([](PAGEINFO& info) { info.SRCPGE = info.SRCPGE + 64; }), gp());
    EXPECT_EQ(with([](PAGEINFO& info) { info.SECINFO = info.SECINFO + 32; }), gp());
    kernel_.put(kernel_.secinfo(), SECINFO{.FLAGS = kReg, .RESERVED = {}});
    EXPECT_EQ(with([](PAGEINFO&) {}), gp());
    kernel_.put(kernel_.secinfo(), SECINFO{.FLAGS = 0, .RESERVED = {0, 1}});
    EXPECT_EQ(with([](PAGEINFO&) {}), gp());
    EXPECT_EQ(report().valid_pages, 1U);
}

TEST_F(Building, EcreateRefusesASecsThatIsNotLegal) {
    const auto refused = [&](const std::function<void(SECS&)>& change) { return create(change) == gp(); };
    EXPECT_TRUE(refused([](SECS& secs) { secs.SIZE = kPageSize; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.SIZE = 3 * kPageSize; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.SIZE = 0; }));
    EXPECT_TRUE(refused([](SECS& secs) {
        secs.BASEADDR = 0;
        secs.SIZE = uint64_t{1} << 36;
    }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.BASEADDR = kBase + kPageSize; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.BASEADDR = uint64_t{1} << 50; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.SSAFRAMESIZE = 0; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.MISCSELECT = 2; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.ATTRIBUTES.XFRM = 1; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.ATTRIBUTES.XFRM = 3 | uint64_t{1} << 63; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.ATTRIBUTES.XFRM = 3 | 1 << 5; }));
    EXPECT_TRUE(
        refused([](SECS& secs) { secs.ATTRIBUTES.FLAGS = attributes::MODE64BIT | attributes::INIT; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.ATTRIBUTES.FLAGS = attributes::MODE64BIT | 8; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.ATTRIBUTES.FLAGS = 0; }));  // 32-bit enclaves are not offered
    EXPECT_TRUE(refused([](SECS& secs) { secs.RESERVED1[0] = 1; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.RESERVED2[31] = 1; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.RESERVED3[0] = 1; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.RESERVED4[3833] = 1; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.CONFIGID[7] = 1; }));
    EXPECT_TRUE(refused([](SECS& secs) { secs.CONFIGSVN = 1; }));
    EXPECT_EQ(report().valid_pages, 0U);

    EXPECT_EQ(create([](SECS& secs) {
                  secs.BASEADDR = 0;
                  secs.SIZE = uint64_t{1} << 35;  // the largest
                  secs.ATTRIBUTES.FLAGS = attributes::MODE64BIT | attributes::KSS;
                  secs.CONFIGSVN = 1;
                  secs.ATTRIBUTES.XFRM = 7;
                  secs.MISCSELECT = miscselect::EXINFO;
                  secs.MRENCLAVE[0] = 1;  // ignored
                  secs.MRSIGNER[0] = 1;
              }),
              success());
}

TEST_F(Building, EaddPutsAPageIntoTheEnclave) {
    ASSERT_EQ(create(), success());
    PageBytes contents;
    contents.fill(0x5a);
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase + 3 * kPageSize, kReg, contents), success());
    EXPECT_TRUE(std::ranges::equal(machine_.epc_bytes(kPage), contents));
    EXPECT_EQ(report().enclaves.front().pages, 2U);
    // The page is taken now.
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, kReg), epcm_pf(epc_linear(kPage)));
}

TEST_F(Building, EaddChecksPlaceTypeAndRights) {
    ASSERT_EQ(create(), success());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase + kSize, kReg), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase - kPageSize, kReg), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase + 8, kReg), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, secinfo::W | secinfo::pt(PageType::REG)), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, secinfo::R | secinfo::pt(PageType::TRIM)), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, secinfo::R | secinfo::pt(PageType::VA)), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, secinfo::R | secinfo::pt(PageType::SECS)), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, kReg | secinfo::PENDING), gp());
    EXPECT_EQ(kernel_.eadd(kPage, kSecs, kBase, kReg | 1U << 6), gp());
    EXPECT_EQ(kernel_.eadd(kPage, PageIndex{9}, kBase, kReg), epcm_pf(epc_linear(PageIndex{9})));
    ASSERT_EQ(kernel_.epa(PageIndex{9}), success());
    EXPECT_EQ(kernel_.eadd(kPage, PageIndex{9}, kBase, kReg), epcm_pf(epc_linear(PageIndex{9})));
    EXPECT_EQ(kernel_.eadd(kPage, kPage, kBase, kReg), gp());  // excludes itself
}

TEST_F(Building, EaddOfATcsResetsWhatIsTheProcessors) {
    ASSERT_EQ(create(), success());
    auto tcs = EnclaveMaker::tcs(kPageSize, 2, 0);
    tcs.CSSA = 1;
    tcs.AEP = 0x1234;
    tcs.STATE = 1;
    tcs.FLAGS = TCS::DBGOPTIN;
    const uint64_t flags = secinfo::pt(PageType::TCS);
    EXPECT_EQ(
        kernel_.eadd(kPage, kSecs, kBase, flags | secinfo::R | secinfo::W, std::bit_cast<PageBytes>(tcs)),
        success());
    TCS there;
    std::memcpy(&there, machine_.epc_bytes(kPage).data(), sizeof there);
    EXPECT_EQ(there.CSSA, 0U);
    EXPECT_EQ(there.AEP, 0U);
    EXPECT_EQ(there.STATE, 0U);
    EXPECT_EQ(there.FLAGS, 0U);
    EXPECT_EQ(there.NSSA, 2U);

    tcs.RESERVED[4023] = 1;
    EXPECT_EQ(kernel_.eadd(PageIndex{2}, kSecs, kBase, flags, std::bit_cast<PageBytes>(tcs)), gp());
    tcs.RESERVED[4023] = 0;
    tcs.FLAGS = 2;
    EXPECT_EQ(kernel_.eadd(PageIndex{2}, kSecs, kBase, flags, std::bit_cast<PageBytes>(tcs)), gp());
}

TEST_F(Building, EextendChecksItsOperands) {
    create_with_page();
    EXPECT_EQ(kernel_.eextend(kPage, kSecs), success());
    EXPECT_EQ(kernel_.encls(Encls::EEXTEND, epc_linear(kSecs), epc_linear(kPage) + 128), gp());
    EXPECT_EQ(kernel_.encls(Encls::EEXTEND, epc_linear(kSecs) + 256, epc_linear(kPage)), gp());
    EXPECT_EQ(kernel_.encls(Encls::EEXTEND, epc_linear(kPage), epc_linear(kPage)), gp());
    EXPECT_EQ(kernel_.encls(Encls::EEXTEND, kKernelRam, epc_linear(kPage)), epcm_pf(kKernelRam, 0));
    EXPECT_EQ(kernel_.eextend(PageIndex{7}, kSecs), epcm_pf(epc_linear(PageIndex{7}), 0));
    EXPECT_EQ(kernel_.eextend(kSecs, kSecs), epcm_pf(epc_linear(kSecs), 0));
}

TEST_F(Building, EinitAcceptsTheMeasurementThatWasSigned) {
    create_with_page();
    ASSERT_EQ(kernel_.einit(kSecs, signature()), success());
    const auto enclave = report().enclaves.front();
    EXPECT_TRUE(enclave.initialized);
    EXPECT_EQ(enclave.mrenclave, kernel_.measurement());
    EXPECT_EQ(enclave.mrsigner, mrsigner_of(signature()));
    // Once.
    EXPECT_EQ(kernel_.einit(kSecs, signature()), gp());
    EXPECT_EQ(kernel_.eadd(PageIndex{2}, kSecs, kBase + kPageSize, kReg), gp());
    EXPECT_EQ(kernel_.eextend(kPage, kSecs), gp());
}

TEST_F(Building, EinitFailsWithTheCodeOfWhatIsWrong) {
    create_with_page();
    const auto unsigned_change = [&](const std::function<void(SIGSTRUCT&)>& change) {
        auto sigstruct = signature();
        change(sigstruct);
        return kernel_.einit(kSecs, sigstruct);
    };
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.HEADER[0] = 7; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.HEADER2[0] = 7; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.VENDOR = 1; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.EXPONENT = 5; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.RESERVED1[83] = 1; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.RESERVED2[0] = 1; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.RESERVED3[0] = 1; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.RESERVED4[0] = 1; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.SIGNATURE[0] ^= 1; }), status(INVALID_SIGNATURE));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.Q1[0] ^= 1; }), status(INVALID_SIGNATURE));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.Q2[383] ^= 1; }), status(INVALID_SIGNATURE));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.DATE = 0x2024'0101; }), status(INVALID_SIGNATURE));
    EXPECT_EQ(unsigned_change([](SIGSTRUCT& s) { s.MODULUS[8] ^= 1; }), status(INVALID_SIGNATURE));

    const auto signed_change = [&](const std::function<void(SIGSTRUCT&)>& change) {
        return kernel_.einit(kSecs, signature(change));
    };
    EXPECT_EQ(signed_change([](SIGSTRUCT& s) { s.ISVFAMILYID[3] = 1; }), status(INVALID_SIG_STRUCT));
    EXPECT_EQ(signed_change([](SIGSTRUCT& s) { s.ENCLAVEHASH[0] ^= 1; }), status(INVALID_MEASUREMENT));
    EXPECT_EQ(
        signed_change([](SIGSTRUCT& s) { s.ATTRIBUTES.FLAGS = attributes::MODE64BIT | attributes::KSS; }),
        status(INVALID_ATTRIBUTE));
    EXPECT_EQ(signed_change([](SIGSTRUCT& s) { s.ATTRIBUTES.XFRM = 7; }), status(INVALID_ATTRIBUTE));
    EXPECT_EQ(signed_change([](SIGSTRUCT& s) { s.MISCSELECT = 1; }), status(INVALID_ATTRIBUTE));
    EXPECT_FALSE(report().enclaves.front().initialized);
    // What the masks leave out may differ.
    EXPECT_EQ(signed_change([](SIGSTRUCT& s) {
                  s.ATTRIBUTES.XFRM = 7;
                  s.ATTRIBUTEMASK.XFRM = 3;
                  s.MISCSELECT = 1;
                  s.MISCMASK = 0;
                  s.VENDOR = 0x8086;
                  s.DATE = 0x2024'0101;
              }),
              success());
}

TEST_F(Building, EinitChecksItsOperandsBeforeTheSecs) {
    create_with_page();
    const auto good = signature();
    ASSERT_EQ(kernel_.einit(kPage, good), epcm_pf(epc_linear(kPage)));
    EXPECT_EQ(kernel_.encls(Encls::EINIT, kernel_.sigstruct(), epc_linear(kSecs), kernel_.token() + 256),
              gp());
    EXPECT_EQ(kernel_.encls(Encls::EINIT, kernel_.sigstruct() + 512, epc_linear(kSecs), kernel_.token()),
              gp());
    auto bad = good;
    bad.Q1[0] ^= 1;
    EXPECT_EQ(kernel_.einit(kPage, bad), status(INVALID_SIGNATURE));  // the manual's order
    EXPECT_EQ(kernel_.einit(kSecs, good), success());
}

TEST_F(Building, WithoutATokenOnlyTheLaunchKeysEnclavesStart) {
    create_with_page();
    const auto good = signature();
    ASSERT_TRUE(cpu_.processor().write_msr(0x8d, 1));
    EXPECT_EQ(kernel_.einit(kSecs, good), status(INVALID_EINITTOKEN));
    permit(good);
    EXPECT_EQ(kernel_.einit(kSecs, good), success());
}

TEST_F(Building, OnlyTheLaunchKeysEnclavesMakeTokens) {
    ASSERT_EQ(create([](SECS& secs) {
                  secs.ATTRIBUTES.FLAGS = attributes::MODE64BIT | attributes::EINITTOKEN_KEY;
              }),
              success());
    const auto good = signature(
        [](SIGSTRUCT& s) { s.ATTRIBUTES.FLAGS = attributes::MODE64BIT | attributes::EINITTOKEN_KEY; });
    ASSERT_TRUE(cpu_.processor().write_msr(0x8c, 1));
    EXPECT_EQ(kernel_.einit(kSecs, good), status(INVALID_ATTRIBUTE));
    permit(good);
    EXPECT_EQ(kernel_.einit(kSecs, good), success());
}

TEST_F(Building, EremoveGivesPagesBack) {
    create_with_page();
    std::ranges::fill(machine_.epc_bytes(kPage), uint8_t{0x77});
    EXPECT_EQ(kernel_.eremove(kSecs), status(CHILD_PRESENT));
    EXPECT_EQ(kernel_.eremove(kPage), success());
    EXPECT_TRUE(std::ranges::all_of(machine_.epc_bytes(kPage), [](uint8_t byte) { return byte == 0; }));
    EXPECT_EQ(kernel_.eremove(kPage), success());  // of nothing
    EXPECT_EQ(kernel_.eremove(kSecs), success());
    EXPECT_EQ(kernel_.encls(Encls::EREMOVE, 0, epc_linear(kPage) + 1), gp());
    EXPECT_EQ(kernel_.encls(Encls::EREMOVE, 0, kKernelRam), epcm_pf(kKernelRam));
    EXPECT_EQ(report().valid_pages, 0U);
}

// One that is right is Keys' (keys_test.cpp).
TEST_F(Building, ATokenThatNoLaunchEnclaveMadePermitsNothing) {
    create_with_page();
    const auto good = signature();
    const LaunchHash launcher{1, 2, 3, 4};
    for (uint32_t i = 0; i < 4; ++i)
        ASSERT_TRUE(cpu_.processor().write_msr(0x8c + i, launcher[i]));

    EINITTOKEN token{};
    token.VALID = 1;
    token.ATTRIBUTES = EnclaveMaker::secs(kBase, kSize).ATTRIBUTES;
    token.MRENCLAVE = kernel_.measurement();
    token.MRSIGNER = mrsigner_of(good);
    token.CPUSVNLE = {1};
    EXPECT_EQ(kernel_.einit(kSecs, good, token), status(INVALID_EINITTOKEN));  // no MAC
    auto beyond = token;
    beyond.CPUSVNLE = {2};
    EXPECT_EQ(kernel_.einit(kSecs, good, beyond), status(INVALID_CPUSVN));
    auto reserved = token;
    reserved.RESERVED4[23] = 1;
    EXPECT_EQ(kernel_.einit(kSecs, good, reserved), status(INVALID_EINITTOKEN));
    auto debug = token;
    debug.MASKEDATTRIBUTESLE.FLAGS = attributes::DEBUG;
    EXPECT_EQ(kernel_.einit(kSecs, good, debug), status(INVALID_EINITTOKEN));
}

}  // namespace
}  // namespace alcove::sgx
