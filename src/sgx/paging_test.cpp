// SPDX-License-Identifier: Apache-2.0
//
// EPA, EBLOCK, ETRACK, EWB, ELDB and ELDU: pages leave and come back, and nothing else does.
#include <algorithm>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr PageIndex kVersions{20};
constexpr PageIndex kVa2{21};
constexpr PageIndex kFree{22};

class Paging : public testing::Test {
  protected:
    Paging() : cpu_(machine_, 0), kernel_(cpu_), enclave_(TestEnclave::make(kernel_)) {
        EXPECT_EQ(kernel_.epa(kVersions), success());
    }
    ~Paging() override { EXPECT_EQ(machine_.engine().find_inconsistency(), std::nullopt); }

    PageIndex data() const { return enclave_.epc(3); }
    void fill(PageIndex page, uint8_t value) { std::ranges::fill(machine_.epc_bytes(page), value); }
    bool is_filled(PageIndex page, uint8_t value) {
        return std::ranges::all_of(machine_.epc_bytes(page), [&](uint8_t byte) { return byte == value; });
    }
    // Blocks, tracks and evicts to spare().
    void evict(PageIndex page, uint32_t slot) {
        ASSERT_EQ(kernel_.eblock(page), success());
        ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
        ASSERT_EQ(kernel_.ewb(page, kernel_.spare(), kVersions, slot), success());
    }
    Answer load(PageIndex page, uint32_t slot, Encls leaf = Encls::ELDU) {
        return kernel_.eld(leaf, page, kernel_.spare(), enclave_.data(), enclave_.secs, kVersions, slot);
    }

    FakeMachine machine_;
    FakeCpu cpu_;
    EnclaveMaker kernel_;
    TestEnclave enclave_;
};

TEST_F(Paging, EpaMakesEmptySlots) {
    fill(kFree, 0xee);
    EXPECT_EQ(kernel_.epa(kFree), success());
    EXPECT_TRUE(is_filled(kFree, 0));
    EXPECT_EQ(kernel_.epa(kFree), epcm_pf(epc_linear(kFree)));
    EXPECT_EQ(kernel_.encls(Encls::EPA, 2, epc_linear(kVa2)), gp());
    EXPECT_EQ(kernel_.encls(Encls::EPA, 3, epc_linear(kVa2) + 8), gp());
    EXPECT_EQ(kernel_.eremove(kFree), success());
}

TEST_F(Paging, VersionSlotsAreIdleUntilAVersionIsPutIn) {
    const auto idle = [&] { return machine_.engine().report().idle; };
    ASSERT_EQ(kernel_.epa(kVa2), success());
    EXPECT_EQ(idle().version_arrays, 2U);
    EXPECT_EQ(idle().bytes(), 2 * kPageSize);

    evict(data(), 0);
    EXPECT_EQ(idle().version_arrays, 1U);
    ASSERT_EQ(load(data(), 0), success());
    EXPECT_EQ(idle().version_arrays, 1U) << "one that was used stays so";
    ASSERT_EQ(kernel_.eremove(kVa2), success());
    EXPECT_EQ(idle().version_arrays, 0U);
}

TEST_F(Paging, EblockSaysWhatItFound) {
    EXPECT_EQ(kernel_.eblock(data()), success());
    EXPECT_EQ(kernel_.eblock(data()), notice(BLKSTATE));
    EXPECT_EQ(kernel_.eblock(kFree), status(PG_INVLD));
    EXPECT_EQ(kernel_.eblock(enclave_.secs), notice(PG_IS_SECS));
    EXPECT_EQ(kernel_.eblock(kVersions), notice(NOTBLOCKABLE));
    EXPECT_EQ(kernel_.encls(Encls::EBLOCK, 0, epc_linear(data()) + 1), gp());
    EXPECT_EQ(kernel_.encls(Encls::EBLOCK, 0, kKernelRam), epcm_pf(kKernelRam));
}

TEST_F(Paging, ABlockedPageIsNotReachedFromInside) {
    ASSERT_EQ(kernel_.eblock(data()), success());
    ASSERT_EQ(kernel_.enter(enclave_.tcs()), success());
    uint8_t byte = 0;
    const auto loaded = cpu_.load(enclave_.data(), {&byte, 1});
    ASSERT_NE(loaded.ended_with<Exception>(), nullptr);
    EXPECT_EQ(*loaded.ended_with<Exception>(), (Exception{vector::PF, 0x8005, enclave_.data()}));
    EXPECT_EQ(kernel_.exit(), success());
}

TEST_F(Paging, APageLeavesAndComesBack) {
    fill(data(), 0xa7);
    evict(data(), 5);
    EXPECT_TRUE(is_filled(data(), 0));
    PageBytes sealed;
    kernel_.get_bytes(kernel_.spare(), sealed);
    EXPECT_FALSE(std::ranges::all_of(sealed, [&](uint8_t byte) { return byte == sealed[0]; }));
    EXPECT_EQ(kernel_.get<PAGEINFO>(kernel_.pageinfo()).LINADDR, enclave_.data());
    const auto pcmd = kernel_.get<PCMD>(kernel_.pcmd());
    EXPECT_EQ(pcmd.SECINFO.FLAGS, secinfo::R | secinfo::W | secinfo::pt(PageType::REG));
    EXPECT_EQ(pcmd.ENCLAVEID, machine_.engine().report().enclaves.front().eid);

    EXPECT_EQ(load(kFree, 5), success());
    EXPECT_TRUE(is_filled(kFree, 0xa7));
    machine_.map_epc(enclave_.data(), kFree);
    ASSERT_EQ(kernel_.enter(enclave_.tcs()), success());
    uint8_t byte = 0;
    EXPECT_TRUE(cpu_.load(enclave_.data(), {&byte, 1}));
    EXPECT_EQ(byte, 0xa7);
    EXPECT_EQ(kernel_.exit(), success());
}

TEST_F(Paging, EldbBringsItBackBlocked) {
    evict(data(), 0);
    ASSERT_EQ(load(kFree, 0, Encls::ELDB), success());
    EXPECT_EQ(kernel_.eblock(kFree), notice(BLKSTATE));
    // Nobody can have a translation: one more ETRACK is not needed.
    EXPECT_EQ(kernel_.ewb(kFree, kernel_.spare(), kVersions, 1), success());
}

TEST_F(Paging, AVersionIsGoodOnce) {
    evict(data(), 3);
    PageBytes first;
    kernel_.get_bytes(kernel_.spare(), first);
    const auto first_pcmd = kernel_.get<PCMD>(kernel_.pcmd());
    ASSERT_EQ(load(kFree, 3), success());
    EXPECT_EQ(load(kVa2, 3), status(MAC_COMPARE_FAIL));  // the slot is empty now

    fill(kFree, 0x11);
    evict(kFree, 3);
    const auto second_pcmd = kernel_.get<PCMD>(kernel_.pcmd());
    PageBytes second;
    kernel_.get_bytes(kernel_.spare(), second);
    kernel_.put(kernel_.spare(), first);  // the older state
    kernel_.put(kernel_.pcmd(), first_pcmd);
    EXPECT_EQ(load(kFree, 3), status(MAC_COMPARE_FAIL));
    kernel_.put(kernel_.spare(), second);
    kernel_.put(kernel_.pcmd(), second_pcmd);
    EXPECT_EQ(load(kFree, 4), status(MAC_COMPARE_FAIL));  // another slot
    EXPECT_EQ(load(kFree, 3), success());
    EXPECT_TRUE(is_filled(kFree, 0x11));
}

TEST_F(Paging, NothingOfASealedPageCanBeChanged) {
    fill(data(), 0x42);
    evict(data(), 1);
    const auto pcmd = kernel_.get<PCMD>(kernel_.pcmd());
    const auto sealed = kernel_.get<PageBytes>(kernel_.spare());
    const auto with_pcmd = [&](const std::function<void(PCMD&)>& change) {
        auto changed = pcmd;
        change(changed);
        kernel_.put(kernel_.pcmd(), changed);
        return load(kFree, 1);
    };
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.MAC[0] ^= 1; }), status(MAC_COMPARE_FAIL));
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.RESERVED[39] = 1; }), status(MAC_COMPARE_FAIL));
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.SECINFO.FLAGS = p.SECINFO.FLAGS | secinfo::X; }),
              status(MAC_COMPARE_FAIL));
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.SECINFO.FLAGS = secinfo::pt(PageType::TCS); }),
              status(MAC_COMPARE_FAIL));
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.SECINFO.RESERVED[9] = 1; }), status(MAC_COMPARE_FAIL));
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.SECINFO.FLAGS = secinfo::pt(PageType::SECS); }), gp());  // SECS given
    kernel_.put(kernel_.pcmd(), pcmd);
    auto changed = sealed;
    changed[4095] ^= 0x80;
    kernel_.put(kernel_.spare(), changed);
    EXPECT_EQ(load(kFree, 1), status(MAC_COMPARE_FAIL));
    kernel_.put(kernel_.spare(), sealed);
    EXPECT_EQ(kernel_.eld(Encls::ELDU, kFree, kernel_.spare(), enclave_.data2(), enclave_.secs, kVersions, 1),
              status(MAC_COMPARE_FAIL));
    EXPECT_EQ(with_pcmd([](PCMD& p) { p.ENCLAVEID = 99; }), success());  // a note for software
    EXPECT_TRUE(is_filled(kFree, 0x42));
}

TEST_F(Paging, APageDoesNotMoveToAnotherEnclave) {
    const auto other = TestEnclave::make(kernel_, PageIndex{30});
    evict(data(), 1);
    EXPECT_EQ(kernel_.eld(Encls::ELDU, kFree, kernel_.spare(), enclave_.data(), other.secs, kVersions, 1),
              status(MAC_COMPARE_FAIL));
    EXPECT_EQ(load(kFree, 1), success());
}

TEST_F(Paging, EwbWantsABlockedAndTrackedPage) {
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), status(PAGE_NOT_BLOCKED));
    ASSERT_EQ(kernel_.eblock(data()), success());
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), status(NOT_TRACKED));
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), success());
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), epcm_pf(epc_linear(data())));
}

TEST_F(Paging, AnOccupiedSlotIsOverwrittenAndSaidSo) {
    evict(data(), 9);
    ASSERT_EQ(kernel_.eblock(enclave_.epc(4)), success());
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    EXPECT_EQ(kernel_.ewb(enclave_.epc(4), kernel_.spare(), kVersions, 9), notice(VA_SLOT_OCCUPIED));
    EXPECT_EQ(kernel_.eld(Encls::ELDU, kFree, kernel_.spare(), enclave_.data2(), enclave_.secs, kVersions, 9),
              success());
}

TEST_F(Paging, EwbChecksItsOperands) {
    ASSERT_EQ(kernel_.eblock(data()), success());
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    const uint64_t page = epc_linear(data());
    const uint64_t va = epc_linear(kVersions);
    const PAGEINFO good{.LINADDR = 0, .SRCPGE = kernel_.spare(), .SECINFO = kernel_.pcmd(), .SECS = 0};
    const auto with = [&](const std::function<void(PAGEINFO&)>& change) {
        auto info = good;
        change(info);
        kernel_.put(kernel_.pageinfo(), info);
        return kernel_.encls(Encls::EWB, kernel_.pageinfo(), page, va);
    };
    EXPECT_EQ(with([](PAGEINFO& i) { i.LINADDR = kPageSize; }), gp());
    EXPECT_EQ(with([](PAGEINFO& i) { i.SECS = kPageSize; }), gp());
    EXPECT_EQ(with([](PAGEINFO& i) { i.SECINFO = i.SECINFO + 64; }), gp());
    EXPECT_EQ(with([](PAGEINFO& i) { i.SRCPGE = i.SRCPGE + 64; }), gp());
    const uint64_t nowhere = 0xffff'd000'0000'0000;
    EXPECT_EQ(with([&](PAGEINFO& i) { i.SRCPGE = nowhere; }).fault,
              (Exception{vector::PF, pfec::W, nowhere}));
    EXPECT_EQ(with([&](PAGEINFO& i) { i.SECINFO = nowhere; }).fault,
              (Exception{vector::PF, pfec::W, nowhere}));
    kernel_.put(kernel_.pageinfo(), good);
    EXPECT_EQ(kernel_.encls(Encls::EWB, kernel_.pageinfo(), page, va + 4), gp());
    EXPECT_EQ(kernel_.encls(Encls::EWB, kernel_.pageinfo(), page, page), gp());
    EXPECT_EQ(kernel_.encls(Encls::EWB, kernel_.pageinfo(), page, epc_linear(kFree)),
              epcm_pf(epc_linear(kFree)));
    EXPECT_EQ(kernel_.encls(Encls::EWB, kernel_.pageinfo(), page, kKernelRam), epcm_pf(kKernelRam));
    EXPECT_EQ(kernel_.encls(Encls::EWB, kernel_.pageinfo(), epc_linear(kFree), va),
              epcm_pf(epc_linear(kFree)));
    EXPECT_EQ(kernel_.encls(Encls::EWB, kernel_.pageinfo(), page, va), success());  // after all that
}

TEST_F(Paging, EldChecksItsOperands) {
    evict(data(), 0);
    EXPECT_EQ(load(enclave_.epc(4), 0), epcm_pf(epc_linear(enclave_.epc(4))));
    EXPECT_EQ(kernel_.eld(Encls::ELDU, kFree, kernel_.spare(), enclave_.data(), enclave_.secs, kVa2, 0),
              epcm_pf(epc_linear(kVa2)));
    EXPECT_EQ(kernel_.eld(Encls::ELDU, kFree, kernel_.spare(), enclave_.data(), kVersions, kVersions, 0),
              epcm_pf(epc_linear(kVersions)));
    EXPECT_EQ(
        kernel_.eld(Encls::ELDU, kFree, kernel_.spare() + 8, enclave_.data(), enclave_.secs, kVersions, 0),
        gp());
    EXPECT_EQ(load(kFree, 0), success());
}

TEST_F(Paging, AnEnclaveIsPagedOutWholeAndRunsAgain) {
    for (uint32_t page = 0; page < TestEnclave::kPages - 1; ++page)
        ASSERT_EQ(kernel_.eblock(enclave_.epc(page)), success());
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    EXPECT_EQ(kernel_.ewb(enclave_.secs, kernel_.spare(), kVersions, 0), status(CHILD_PRESENT));
    std::array<PageBytes, TestEnclave::kPages> sealed{};
    std::array<PCMD, TestEnclave::kPages> pcmds{};
    const auto evict_to = [&](PageIndex page, uint32_t slot) {
        ASSERT_EQ(kernel_.ewb(page, kernel_.spare(), kVersions, slot), success());
        sealed.at(slot) = kernel_.get<PageBytes>(kernel_.spare());
        pcmds.at(slot) = kernel_.get<PCMD>(kernel_.pcmd());
    };
    for (uint32_t page = 0; page < TestEnclave::kPages - 1; ++page)
        evict_to(enclave_.epc(page), page + 1);
    evict_to(enclave_.secs, 0);
    EXPECT_TRUE(machine_.engine().report().enclaves.empty());
    // And the versions, under another's.
    ASSERT_EQ(kernel_.epa(kVa2), success());
    ASSERT_EQ(kernel_.ewb(kVersions, kernel_.spare(), kVa2, 511), success());
    EXPECT_EQ(kernel_.get<PCMD>(kernel_.pcmd()).ENCLAVEID, 0U);
    EXPECT_EQ(machine_.engine().report().valid_pages, 1U);

    ASSERT_EQ(kernel_.eld(Encls::ELDU, kVersions, kernel_.spare(), 0, std::nullopt, kVa2, 511), success());
    const auto load_from = [&](PageIndex page, uint32_t slot, uint64_t linear,
                               std::optional<PageIndex> secs) {
        kernel_.put(kernel_.spare(), sealed.at(slot));
        kernel_.put(kernel_.pcmd(), pcmds.at(slot));
        return kernel_.eld(Encls::ELDU, page, kernel_.spare(), linear, secs, kVersions, slot);
    };
    constexpr PageIndex kNewSecs{40};
    ASSERT_EQ(load_from(kNewSecs, 0, 0, std::nullopt), success());
    for (uint32_t page = 0; page < TestEnclave::kPages - 1; ++page) {
        ASSERT_EQ(load_from(PageIndex{50 + page}, page + 1, enclave_.at(page), kNewSecs), success());
        machine_.map_epc(enclave_.at(page), PageIndex{50 + page});
    }
    EXPECT_EQ(machine_.engine().report().enclaves.front().mrenclave, kernel_.measurement());
    EXPECT_EQ(kernel_.enter(enclave_.tcs()), success());
    EXPECT_EQ(kernel_.exit(), success());
}

// The running measurement goes with the SECS.
TEST_F(Paging, AnEnclaveCanBePagedOutWhileItIsBuilt) {
    constexpr PageIndex kSecs{40};
    constexpr uint64_t kBase = 0x7e00'0000'0000;
    constexpr uint64_t kReg = secinfo::R | secinfo::pt(PageType::REG);
    auto secs = EnclaveMaker::secs(kBase, 16 * kPageSize);
    ASSERT_EQ(kernel_.ecreate(kSecs, secs), success());
    ASSERT_EQ(kernel_.ewb(kSecs, kernel_.spare(), kVersions, 0), success());
    ASSERT_EQ(kernel_.eld(Encls::ELDU, kFree, kernel_.spare(), 0, std::nullopt, kVersions, 0), success());
    ASSERT_EQ(kernel_.eadd(kSecs, kFree, kBase, kReg), success());
    auto sigstruct = EnclaveMaker::unsigned_sigstruct(secs, kernel_.measurement());
    sign(sigstruct, test_signing_key()).value();
    EXPECT_EQ(kernel_.einit(kFree, sigstruct), success());
    EXPECT_EQ(machine_.engine().report().enclaves.back().encls, (std::array<uint64_t, 16>{1, 1, 1}))
        << "what it was counted for went with it, too";
}

TEST_F(Paging, EtrackWaitsForThoseWhoEnteredBefore) {
    FakeCpu other(machine_, 1);
    EnclaveMaker thread(other);
    ASSERT_EQ(thread.enter(enclave_.tcs()), success());
    ASSERT_EQ(kernel_.eblock(data()), success());
    EXPECT_EQ(kernel_.etrack(enclave_.secs), success());
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), status(NOT_TRACKED));
    EXPECT_EQ(kernel_.etrack(enclave_.secs), status(PREV_TRK_INCMPL));
    thread.interrupt();
    EXPECT_EQ(kernel_.etrack(enclave_.secs), success());
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), success());
}

TEST_F(Paging, WhoReenteredAfterEtrackIsNotWaitedFor) {
    FakeCpu other(machine_, 1);
    EnclaveMaker thread(other);
    ASSERT_EQ(thread.enter(enclave_.tcs()), success());
    ASSERT_EQ(kernel_.eblock(data()), success());
    ASSERT_EQ(kernel_.etrack(enclave_.secs), success());
    thread.interrupt();
    ASSERT_EQ(thread.resume(enclave_.tcs()), success());
    EXPECT_EQ(kernel_.ewb(data(), kernel_.spare(), kVersions, 0), success());
    thread.interrupt();
}

TEST_F(Paging, EtrackIsForASecs) {
    EXPECT_EQ(kernel_.etrack(data()), epcm_pf(epc_linear(data())));
    EXPECT_EQ(kernel_.etrack(kFree), epcm_pf(epc_linear(kFree)));
    EXPECT_EQ(kernel_.encls(Encls::ETRACK, 0, epc_linear(enclave_.secs) + 64), gp());
}

}  // namespace
}  // namespace alcove::sgx
