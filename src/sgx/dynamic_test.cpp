// SPDX-License-Identifier: Apache-2.0
//
// SGX2: EAUG, EMODPR, EMODT from the kernel's side, EACCEPT, EMODPE, EACCEPTCOPY from the enclave's.
#include <algorithm>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr PageIndex kNew{20};
constexpr PageIndex kNew2{21};
constexpr uint64_t kRegular = secinfo::pt(PageType::REG);
constexpr uint64_t kRw = secinfo::R | secinfo::W;

class Dynamic : public testing::Test {
  protected:
    Dynamic()
        : cpu_(machine_, 0),
          other_(machine_, 1),
          kernel_(cpu_),
          thread_(other_),
          enclave_(TestEnclave::make(kernel_)) {}
    ~Dynamic() override {
        if (other_.processor().is_inside()) thread_.interrupt();
        EXPECT_EQ(machine_.engine().find_inconsistency(), std::nullopt);
    }

    void augment(PageIndex page, uint64_t linear) {
        ASSERT_EQ(kernel_.eaug(page, enclave_.secs, linear), success());
        machine_.map_epc(linear, page);
    }
    void enter() { ASSERT_EQ(thread_.enter(enclave_.tcs()), success()); }
    // With the SECINFO in the enclave's second data page.
    Answer inside(Enclu leaf, uint64_t flags, uint64_t rcx, uint64_t rdx = 0) {
        const SECINFO info{.FLAGS = flags, .RESERVED = {}};
        EXPECT_TRUE(other_.store(enclave_.data2(), object_bytes(info)));
        return thread_.enclu(leaf, enclave_.data2(), rcx, rdx);
    }
    Answer accept(uint64_t flags, uint64_t linear) { return inside(Enclu::EACCEPT, flags, linear); }
    // What a load or store of the enclave's ends with.
    std::optional<Exception> touch(uint64_t linear, Access access) {
        uint8_t byte = 0x3c;
        const auto outcome =
            access == Access::Write ? other_.store(linear, {&byte, 1}) : other_.load(linear, {&byte, 1});
        const auto* exception = outcome.ended_with<Exception>();
        return exception == nullptr ? std::nullopt : std::optional(*exception);
    }
    Answer user_pf(uint64_t address, uint32_t bits = 0) { return epcm_pf(address, pfec::U | bits); }

    FakeMachine machine_;
    FakeCpu cpu_;
    FakeCpu other_;
    EnclaveMaker kernel_;
    EnclaveMaker thread_;
    TestEnclave enclave_;
};

TEST_F(Dynamic, ANewPageIsUsedOnceItWasAccepted) {
    augment(kNew, enclave_.free_linear());
    enter();
    EXPECT_EQ(touch(enclave_.free_linear(), Access::Write),
              (Exception{vector::PF, 0x8007, enclave_.free_linear()}));
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, enclave_.free_linear()), success());
    EXPECT_EQ(touch(enclave_.free_linear(), Access::Write), std::nullopt);
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, enclave_.free_linear()),
              status(PAGE_ATTRIBUTES_MISMATCH));
}

TEST_F(Dynamic, EaugIsForRunningEnclavesAndTheirRange) {
    EXPECT_EQ(kernel_.eaug(kNew, enclave_.secs, enclave_.base + TestEnclave::kSize), gp());
    EXPECT_EQ(kernel_.eaug(kNew, enclave_.secs, enclave_.free_linear() + 1), gp());
    EXPECT_EQ(kernel_.eaug(enclave_.epc(0), enclave_.secs, enclave_.free_linear()),
              epcm_pf(epc_linear(enclave_.epc(0))));
    EXPECT_EQ(kernel_.eaug(kNew, kNew2, enclave_.free_linear()), epcm_pf(epc_linear(kNew2)));
    ASSERT_EQ(kernel_.ecreate(kNew2, EnclaveMaker::secs(0x7e00'0000'0000, 16 * kPageSize)), success());
    EXPECT_EQ(kernel_.eaug(kNew, kNew2, 0x7e00'0000'0000), gp());  // not initialized
    kernel_.put(kernel_.pageinfo(), PAGEINFO{.LINADDR = enclave_.free_linear(),
                                             .SRCPGE = kernel_.source(),
                                             .SECINFO = 0,
                                             .SECS = epc_linear(enclave_.secs)});
    EXPECT_EQ(kernel_.encls(Encls::EAUG, kernel_.pageinfo(), epc_linear(kNew)), gp());
}

TEST_F(Dynamic, RightsThatWereTakenAreGoneAtOnceAndComeBackByTheEnclave) {
    enter();
    ASSERT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(3), secinfo::R), success());
    EXPECT_EQ(touch(enclave_.data(), Access::Read), std::nullopt);  // PR does not stop it
    EXPECT_EQ(touch(enclave_.data(), Access::Write), (Exception{vector::PF, 0x8007, enclave_.data()}));
    EXPECT_EQ(accept(kRegular | secinfo::R | secinfo::PR, enclave_.data()), status(NOT_TRACKED));
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    EXPECT_EQ(accept(kRegular | secinfo::R | secinfo::PR, enclave_.data()), status(NOT_TRACKED));
    thread_.interrupt();
    ASSERT_EQ(thread_.resume(enclave_.tcs()), success());
    EXPECT_EQ(accept(kRegular | secinfo::R | secinfo::PR, enclave_.data()), success());
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::R | secinfo::W, enclave_.data()), success());
    EXPECT_EQ(touch(enclave_.data(), Access::Write), std::nullopt);
}

TEST_F(Dynamic, EmodprChecksInTheOrderThatLinuxProbes) {
    EXPECT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(3), secinfo::W), gp());
    EXPECT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(3), secinfo::R | 1U << 6), gp());
    EXPECT_EQ(kernel_.emod(Encls::EMODPR, kNew, secinfo::R), epcm_pf(epc_linear(kNew)));
    EXPECT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(0), secinfo::R), epcm_pf(epc_linear(enclave_.epc(0))));
    ASSERT_EQ(kernel_.emod(Encls::EMODT, enclave_.epc(3), secinfo::pt(PageType::TRIM)), success());
    EXPECT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(3), secinfo::kRights), status(PAGE_NOT_MODIFIABLE));
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    enter();
    EXPECT_EQ(accept(secinfo::pt(PageType::TRIM) | secinfo::MODIFIED, enclave_.data()), success());
    EXPECT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(3), secinfo::kRights),
              epcm_pf(epc_linear(enclave_.epc(3))));
    // Somebody is inside, and an accepted TRIM page can go nevertheless.
    EXPECT_EQ(kernel_.eremove(enclave_.epc(3)), success());
    EXPECT_EQ(kernel_.eremove(enclave_.epc(4)), status(ENCLAVE_ACT));
}

TEST_F(Dynamic, ATrimmedPageIsNotReached) {
    enter();
    ASSERT_EQ(kernel_.emod(Encls::EMODT, enclave_.epc(3), secinfo::pt(PageType::TRIM)), success());
    EXPECT_EQ(touch(enclave_.data(), Access::Read), (Exception{vector::PF, 0x8005, enclave_.data()}));
    EXPECT_EQ(kernel_.eremove(enclave_.epc(3)), status(ENCLAVE_ACT));  // not accepted yet
}

TEST_F(Dynamic, EmodtChecksItsOperands) {
    constexpr auto kLeaf = Encls::EMODT;
    EXPECT_EQ(kernel_.emod(kLeaf, enclave_.epc(3), kRegular), gp());
    EXPECT_EQ(kernel_.emod(kLeaf, enclave_.epc(3), secinfo::pt(PageType::SECS)), gp());
    EXPECT_EQ(kernel_.emod(kLeaf, enclave_.secs, secinfo::pt(PageType::TRIM)),
              epcm_pf(epc_linear(enclave_.secs)));
    EXPECT_EQ(kernel_.emod(kLeaf, kNew, secinfo::pt(PageType::TRIM)), epcm_pf(epc_linear(kNew)));
    EXPECT_EQ(kernel_.emod(kLeaf, enclave_.epc(0), secinfo::pt(PageType::TCS)),
              epcm_pf(epc_linear(enclave_.epc(0))));
    augment(kNew, enclave_.free_linear());
    EXPECT_EQ(kernel_.emod(kLeaf, kNew, secinfo::pt(PageType::TRIM)), status(PAGE_NOT_MODIFIABLE));
    EXPECT_EQ(kernel_.emod(kLeaf, enclave_.epc(5), secinfo::pt(PageType::TRIM)), success());
    EXPECT_EQ(thread_.enter(enclave_.tcs2()), user_pf(enclave_.tcs2(), pfec::W));
}

TEST_F(Dynamic, AnEnclaveMakesItselfAThread) {
    const uint64_t linear = enclave_.free_linear();
    augment(kNew, linear);
    enter();
    ASSERT_EQ(accept(kRegular | kRw | secinfo::PENDING, linear), success());
    const TCS tcs = EnclaveMaker::tcs(6 * kPageSize, 1, 2 * kPageSize);
    ASSERT_TRUE(other_.store(linear, object_bytes(tcs)));
    ASSERT_EQ(kernel_.emod(Encls::EMODT, kNew, secinfo::pt(PageType::TCS)), success());
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    thread_.interrupt();
    ASSERT_EQ(thread_.resume(enclave_.tcs()), success());
    EXPECT_EQ(accept(secinfo::pt(PageType::TCS) | secinfo::MODIFIED, linear), success());
    EXPECT_EQ(thread_.exit(), success());
    EXPECT_EQ(thread_.enter(linear), success());
}

TEST_F(Dynamic, AThreadThatIsNotFreshIsNotAccepted) {
    const uint64_t linear = enclave_.free_linear();
    const auto refused = [&](const std::function<void(TCS&)>& change) {
        augment(kNew, linear);
        enter();
        EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, linear), success());
        TCS tcs = EnclaveMaker::tcs(6 * kPageSize, 1, 2 * kPageSize);
        change(tcs);
        EXPECT_TRUE(other_.store(linear, object_bytes(tcs)));
        EXPECT_EQ(kernel_.emod(Encls::EMODT, kNew, secinfo::pt(PageType::TCS)), success());
        EXPECT_EQ(kernel_.etrack(enclave_.secs), success());
        thread_.interrupt();
        EXPECT_EQ(thread_.resume(enclave_.tcs()), success());
        const auto answer = accept(secinfo::pt(PageType::TCS) | secinfo::MODIFIED, linear);
        EXPECT_EQ(thread_.exit(), success());
        EXPECT_EQ(kernel_.eremove(kNew), success());
        return answer == gp();
    };
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.STATE = 1; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.FLAGS = TCS::DBGOPTIN; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.AEP = 1; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.CSSA = 1; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.NSSA = 0; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.RESERVED[4000] = 1; }));
}

TEST_F(Dynamic, EacceptTakesLegalRequestsOnly) {
    augment(kNew, enclave_.free_linear());
    enter();
    const uint64_t linear = enclave_.free_linear();
    EXPECT_EQ(accept(kRegular | kRw, linear), gp());
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING | secinfo::MODIFIED, linear), gp());
    EXPECT_EQ(accept(secinfo::pt(PageType::TRIM), linear), gp());
    EXPECT_EQ(accept(secinfo::pt(PageType::TCS) | secinfo::MODIFIED | secinfo::PENDING, linear), gp());
    EXPECT_EQ(accept(secinfo::pt(PageType::SECS) | secinfo::MODIFIED, linear), gp());
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING | 1U << 7, linear), gp());
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, linear + 8), gp());
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, enclave_.base + TestEnclave::kSize), gp());
    EXPECT_EQ(accept(kRegular | secinfo::R | secinfo::PENDING, linear), status(PAGE_ATTRIBUTES_MISMATCH));
    EXPECT_EQ(thread_.enclu(Enclu::EACCEPT, kKernelRam, linear), gp());
    EXPECT_EQ(thread_.enclu(Enclu::EACCEPT, enclave_.data2() + 32, linear), gp());
    EXPECT_EQ(thread_.enclu(Enclu::EACCEPT, enclave_.tcs(), linear), user_pf(enclave_.tcs()));
    // The page is not there: an ordinary fault, by which Linux adds it.
    const uint64_t absent = enclave_.free_linear(1);
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, absent).fault,
              (Exception{vector::PF, pfec::U, absent}));
    // Ordinary memory in its place is a fault of the EPC's.
    machine_.map(absent, {.address = memory::GuestAddress(1_MiB)});
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, absent), user_pf(absent));
}

TEST_F(Dynamic, AnEnclaveDoesNotAcceptAnothersPage) {
    const auto stranger = TestEnclave::make(kernel_, PageIndex{30}, attributes::MODE64BIT, 0x7e00'0000'0000);
    ASSERT_EQ(kernel_.eaug(kNew, stranger.secs, stranger.free_linear()), success());
    machine_.map_epc(enclave_.free_linear(), kNew);
    enter();
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, enclave_.free_linear()),
              user_pf(enclave_.free_linear()));
    // Nor one of its own at a wrong address.
    ASSERT_EQ(kernel_.eaug(kNew2, enclave_.secs, enclave_.free_linear(1)), success());
    machine_.map_epc(enclave_.free_linear(), kNew2);
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, enclave_.free_linear()),
              status(PAGE_ATTRIBUTES_MISMATCH));
}

TEST_F(Dynamic, EmodpeChecksItsOperands) {
    enter();
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::W, enclave_.at(2)), success());  // RX to RWX
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::R, enclave_.tcs2()), user_pf(enclave_.tcs2()));
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::R | 1U << 20, enclave_.data()), gp());
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::R, enclave_.data() + 64), gp());
    ASSERT_EQ(kernel_.emod(Encls::EMODPR, enclave_.epc(3), 0), success());
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::W, enclave_.data()), gp());  // W without R
    EXPECT_EQ(inside(Enclu::EMODPE, secinfo::R, enclave_.data()), success());
}

TEST_F(Dynamic, EacceptcopyFillsANewPage) {
    std::ranges::fill(machine_.epc_bytes(enclave_.epc(3)), uint8_t{0x99});
    augment(kNew, enclave_.free_linear());
    enter();
    const uint64_t to = enclave_.free_linear();
    EXPECT_EQ(inside(Enclu::EACCEPTCOPY, kRegular | secinfo::W, to, enclave_.data()), gp());
    EXPECT_EQ(inside(Enclu::EACCEPTCOPY, secinfo::pt(PageType::TCS), to, enclave_.data()), gp());
    EXPECT_EQ(inside(Enclu::EACCEPTCOPY, kRegular | secinfo::R, enclave_.data(), enclave_.data()),
              status(PAGE_ATTRIBUTES_MISMATCH));
    EXPECT_EQ(inside(Enclu::EACCEPTCOPY, kRegular | secinfo::R, to, enclave_.tcs()), user_pf(enclave_.tcs()));
    EXPECT_EQ(inside(Enclu::EACCEPTCOPY, kRegular | secinfo::R | secinfo::X, to, enclave_.data()), success());
    EXPECT_TRUE(std::ranges::all_of(machine_.epc_bytes(kNew), [](uint8_t byte) { return byte == 0x99; }));
    EXPECT_EQ(touch(to, Access::Read), std::nullopt);
    EXPECT_EQ(touch(to, Access::Write), (Exception{vector::PF, 0x8007, to}));
    EXPECT_EQ(inside(Enclu::EACCEPTCOPY, kRegular | secinfo::R, to, enclave_.data()),
              status(PAGE_ATTRIBUTES_MISMATCH));
}

// Linux's selftests: a page that waits for acceptance is paged out and in.
TEST_F(Dynamic, StatesOutliveEviction) {
    constexpr PageIndex kVa{40};
    ASSERT_EQ(kernel_.epa(kVa), success());
    augment(kNew, enclave_.free_linear());
    ASSERT_EQ(kernel_.eblock(kNew), success());
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    ASSERT_EQ(kernel_.ewb(kNew, kernel_.spare(), kVa, 0), success());
    ASSERT_EQ(kernel_.eld(Encls::ELDU, kNew2, kernel_.spare(), enclave_.free_linear(), enclave_.secs, kVa, 0),
              success());
    machine_.map_epc(enclave_.free_linear(), kNew2);
    enter();
    EXPECT_EQ(accept(kRegular | kRw | secinfo::PENDING, enclave_.free_linear()), success());
}

}  // namespace
}  // namespace alcove::sgx
