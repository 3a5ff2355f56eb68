// SPDX-License-Identifier: Apache-2.0
//
// Random leaves against a model that knows nothing of how the engine works: for each page what it is, for
// each processor where it is, and from that what must come out. Two enclaves, of which one is open to
// debuggers, and a third that is built again and again; two processors that go in and out, one that stays in
// the kernel, pages used for everything by turns.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"
#include "sgx/measurement.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr uint32_t kPageCount = 28;  // of the EPC: two enclaves, a VA page, and a few to play with
constexpr PageIndex kVaPage{16};
constexpr uint64_t kBases[] = {0x7f00'0000'0000, 0x7e00'0000'0000, 0x7d00'0000'0000};
constexpr int kDebugged = 1;  // of the enclaves
constexpr int kThird = 2;
constexpr PageIndex kNoSecs = kVaPage;  // what stands for the third's while there is none

struct ModelPage {
    bool valid = false;
    bool secs = false;
    bool va = false;
    bool blocked = false;
    int enclave = -1;
    uint64_t linear = 0;
    PageType type{};
    uint64_t rights = 0;
    bool pending = false;
    bool modified = false;
    bool restricted = false;
    bool waits = false;  // for an ETRACK, since translations became stale
    int stale = 0;       // processors, as bits, that were inside before that ETRACK and still are
};

struct SealedPage {
    ModelPage page;
    PageBytes bytes;
    PCMD pcmd;
    uint32_t slot;
};

class Model : public testing::Test {
  public:
    Model()
        : cpus_{FakeCpu(machine_, 0), FakeCpu(machine_, 1), FakeCpu(machine_, 2)},
          makers_{EnclaveMaker(cpus_[0]), EnclaveMaker(cpus_[1])},
          kernel_(cpus_[2]) {
        enclaves_[0] = TestEnclave::make(kernel_, PageIndex{0}, attributes::MODE64BIT, kBases[0]);
        enclaves_[1] =
            TestEnclave::make(kernel_, PageIndex{8}, attributes::MODE64BIT | attributes::DEBUG, kBases[1]);
        enclaves_[kThird] = {.secs = kNoSecs, .base = kBases[kThird]};
        for (int enclave = 0; enclave < 2; ++enclave) {
            model(enclaves_[enclave].secs) = {.valid = true, .secs = true, .enclave = enclave};
            for (uint32_t page = 0; page < TestEnclave::kPages - 1; ++page) {
                const bool thread = page == 0 || page == 5;
                model(enclaves_[enclave].epc(page)) = {.valid = true,
                                                       .enclave = enclave,
                                                       .linear = enclaves_[enclave].at(page),
                                                       .type = thread ? PageType::TCS : PageType::REG,
                                                       .rights = thread      ? uint64_t{0}
                                                                 : page == 2 ? secinfo::R | secinfo::X
                                                                             : secinfo::R | secinfo::W};
            }
        }
        EXPECT_EQ(kernel_.epa(kVaPage), success());
        model(kVaPage) = {.valid = true, .va = true};
    }

    ModelPage& model(PageIndex page) { return pages_.at(number(page)); }
    uint32_t pick(uint32_t count) { return static_cast<uint32_t>(random_() % count); }
    // Not the pages that entering needs, so that the processors go in and out all the time.
    PageIndex any_page() {
        static constexpr uint32_t kChoice[] = {0, 4, 5, 8, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25};
        return PageIndex{kChoice[pick(static_cast<uint32_t>(std::size(kChoice)))]};
    }
    // One of the enclave that the processor is in, if there is any to be found.
    PageIndex own_page(int cpu) {
        PageIndex page = any_page();
        for (int i = 0;
             i < 16 && (!model(page).valid || model(page).secs || model(page).enclave != inside_[cpu]); ++i)
            page = any_page();
        return page;
    }
    EnclaveMaker& maker(int cpu) { return makers_.at(static_cast<size_t>(cpu)); }

    // Translations made before are stale from now on.
    void becomes_stale(ModelPage& page) {
        page.waits = true;
        page.stale = inside_of(page.enclave);
    }
    int inside_of(int enclave) const {
        return (inside_[0] == enclave ? 1 : 0) | (inside_[1] == enclave ? 2 : 0);
    }
    static bool is_tracked(const ModelPage& page) { return !page.waits && page.stale == 0; }
    void left(int cpu) {
        for (auto& page : pages_)
            if (page.enclave == inside_[cpu]) page.stale &= ~(1 << cpu);
        before_track_[inside_[cpu]] &= ~(1 << cpu);
        inside_[cpu] = -1;
    }

    void eremove() {
        const PageIndex page = any_page();
        ModelPage& it = model(page);
        Answer expected = success();
        if (it.valid && it.secs && children(it.enclave) != 0) expected = status(CHILD_PRESENT);
        const bool accepted_trim = it.type == PageType::TRIM && !it.modified;
        if (it.valid && !it.secs && !it.va && !accepted_trim && inside_of(it.enclave) != 0)
            expected = status(ENCLAVE_ACT);
        if (page == kVaPage) return;  // the slots are needed
        ASSERT_EQ(kernel_.eremove(page), expected);
        if (expected != success()) return;
        if (it.valid && it.secs) forget_third();
        it = {};
    }
    void remove_third() {
        if (!has_third() || pick(4) != 0) return;
        for (uint32_t page = 0; page < kPageCount; ++page) {
            ModelPage& it = model(PageIndex{page});
            if (it.enclave != kThird || it.secs) continue;
            ASSERT_EQ(kernel_.eremove(PageIndex{page}), success());
            it = {};
        }
        ASSERT_EQ(kernel_.eremove(enclaves_[kThird].secs), success());
        model(enclaves_[kThird].secs) = {};
        forget_third();
    }
    bool has_third() const { return enclaves_[kThird].secs != kNoSecs; }
    // Who was sealed as its page can not come back.
    void forget_third() {
        enclaves_[kThird].secs = kNoSecs;
        third_initialized_ = false;
        std::erase_if(sealed_, [&](const SealedPage& sealed) {
            if (sealed.page.enclave == kThird) lost_slots_.push_back(sealed.slot);
            return sealed.page.enclave == kThird;
        });
    }
    bool is_initialized(int enclave) const { return enclave != kThird || third_initialized_; }
    int children(int enclave) {
        return static_cast<int>(std::ranges::count_if(pages_, [&](const ModelPage& page) {
            return page.valid && !page.secs && page.enclave == enclave;
        }));
    }
    void eblock() {
        const PageIndex page = any_page();
        ModelPage& it = model(page);
        const Answer expected = !it.valid    ? status(PG_INVLD)
                                : it.secs    ? notice(PG_IS_SECS)
                                : it.va      ? notice(NOTBLOCKABLE)
                                : it.blocked ? notice(BLKSTATE)
                                             : success();
        ASSERT_EQ(kernel_.eblock(page), expected);
        if (expected != success()) return;
        it.blocked = true;
        becomes_stale(it);
    }
    void etrack() {
        const int enclave = static_cast<int>(pick(3));
        const bool missing = enclave == kThird && !has_third();
        const bool unfinished = before_track_[enclave] != 0;
        ASSERT_EQ(kernel_.etrack(enclaves_[enclave].secs), missing      ? epcm_pf(epc_linear(kNoSecs))
                                                           : unfinished ? status(PREV_TRK_INCMPL)
                                                                        : success());
        if (missing || unfinished) return;
        before_track_[enclave] = inside_of(enclave);
        for (auto& page : pages_)
            if (page.enclave == enclave) page.waits = false;
    }
    void ewb() {
        const PageIndex page = any_page();
        ModelPage& it = model(page);
        const uint32_t slot = pick(512);
        if (it.va || (it.secs && children(it.enclave) == 0)) return;  // they would be gone for good
        if (it.enclave == kThird && pick(4) != 0) return;             // the slots of some are lost with it
        const bool occupied =
            std::ranges::any_of(sealed_, [&](const SealedPage& s) { return s.slot == slot; }) ||
            std::ranges::find(lost_slots_, slot) != lost_slots_.end();
        if (occupied) return;
        const Answer expected = !it.valid         ? epcm_pf(epc_linear(page))
                                : it.secs         ? status(CHILD_PRESENT)
                                : !it.blocked     ? status(PAGE_NOT_BLOCKED)
                                : !is_tracked(it) ? status(NOT_TRACKED)
                                                  : success();
        ASSERT_EQ(kernel_.ewb(page, kernel_.spare(), kVaPage, slot), expected);
        if (expected != success()) return;
        sealed_.push_back({.page = it,
                           .bytes = kernel_.get<PageBytes>(kernel_.spare()),
                           .pcmd = kernel_.get<PCMD>(kernel_.pcmd()),
                           .slot = slot});
        it = {};
    }
    void eld() {
        if (sealed_.empty()) return;
        const size_t which = pick(static_cast<uint32_t>(sealed_.size()));
        const auto& sealed = sealed_[which];
        const PageIndex page = any_page();
        const bool block = pick(2) == 0;
        const bool wrong_enclave = pick(4) == 0;
        const int enclave = wrong_enclave ? sealed.page.enclave == 0 ? 1 : 0 : sealed.page.enclave;
        kernel_.put(kernel_.spare(), sealed.bytes);
        kernel_.put(kernel_.pcmd(), sealed.pcmd);
        const Answer expected = model(page).valid ? epcm_pf(epc_linear(page))
                                : wrong_enclave   ? status(MAC_COMPARE_FAIL)
                                                  : success();
        ASSERT_EQ(kernel_.eld(block ? Encls::ELDB : Encls::ELDU, page, kernel_.spare(), sealed.page.linear,
                              enclaves_[enclave].secs, kVaPage, sealed.slot),
                  expected);
        if (expected != success()) return;
        model(page) = sealed.page;
        model(page).blocked = block;
        model(page).stale = 0;
        model(page).waits = false;
        machine_.map_epc(sealed.page.linear, page);
        sealed_.erase(sealed_.begin() + static_cast<ptrdiff_t>(which));
    }
    void eaug() {
        const int enclave = static_cast<int>(pick(3));
        const PageIndex page = any_page();
        const uint64_t linear = enclaves_[enclave].free_linear(pick(8));
        const bool missing = enclave == kThird && !has_third();
        const Answer expected = model(page).valid          ? epcm_pf(epc_linear(page))
                                : missing                  ? epcm_pf(epc_linear(kNoSecs))
                                : !is_initialized(enclave) ? gp()
                                                           : success();
        ASSERT_EQ(kernel_.eaug(page, enclaves_[enclave].secs, linear), expected);
        if (expected != success()) return;
        model(page) = {.valid = true,
                       .enclave = enclave,
                       .linear = linear,
                       .type = PageType::REG,
                       .rights = secinfo::R | secinfo::W,
                       .pending = true};
        machine_.map_epc(linear, page);
    }
    void emodpr() {
        const PageIndex page = any_page();
        ModelPage& it = model(page);
        static constexpr uint64_t kRights[] = {0, secinfo::R, secinfo::R | secinfo::W,
                                               secinfo::R | secinfo::X};
        const uint64_t rights = kRights[pick(4)];
        const bool child = it.valid && !it.secs && !it.va;
        const Answer expected = !child                        ? epcm_pf(epc_linear(page))
                                : it.pending || it.modified   ? status(PAGE_NOT_MODIFIABLE)
                                : it.type != PageType::REG    ? epcm_pf(epc_linear(page))
                                : !is_initialized(it.enclave) ? gp()
                                                              : success();
        ASSERT_EQ(kernel_.emod(Encls::EMODPR, page, rights), expected);
        if (expected != success()) return;
        it.rights &= rights;
        it.restricted = true;
        becomes_stale(it);
    }
    void emodt() {
        const PageIndex page = any_page();
        ModelPage& it = model(page);
        const PageType type = pick(4) == 0 ? PageType::TCS : PageType::TRIM;
        const bool convertible =
            it.valid && !it.secs && !it.va &&
            (it.type == PageType::REG || (it.type == PageType::TCS && type == PageType::TRIM));
        const Answer expected = !convertible                  ? epcm_pf(epc_linear(page))
                                : it.pending || it.modified   ? status(PAGE_NOT_MODIFIABLE)
                                : !is_initialized(it.enclave) ? gp()
                                                              : success();
        ASSERT_EQ(kernel_.emod(Encls::EMODT, page, secinfo::pt(type)), expected);
        if (expected != success()) return;
        it.type = type;
        it.rights = 0;
        it.modified = true;
        it.restricted = false;
        becomes_stale(it);
    }
    void enter_or_leave() {
        const int cpu = static_cast<int>(pick(2));
        if (inside_[cpu] >= 0) {
            ASSERT_EQ(maker(cpu).exit(), success());
            left(cpu);
            return;
        }
        const int enclave = static_cast<int>(pick(2));
        const bool taken = inside_[1 - cpu] == enclave;
        ASSERT_EQ(maker(cpu).enter(enclaves_[enclave].tcs()), taken ? gp() : success());
        if (taken) return;
        inside_[cpu] = enclave;
        // Whoever enters before the next ETRACK counts as one who was there before.
        for (auto& page : pages_)
            if (page.enclave == enclave && page.waits) page.stale |= 1 << cpu;
    }
    // By whoever is inside, of one of the pages that come and go.
    void eaccept() {
        const int cpu = static_cast<int>(pick(2));
        if (inside_[cpu] < 0) return;
        const PageIndex page = own_page(cpu);
        const ModelPage& it = model(page);
        if (!it.valid || it.enclave != inside_[cpu] || it.secs || it.type == PageType::TCS) return;
        // Several pages may have been added for one address: the kernel decides which is there.
        machine_.map_epc(it.linear, page);
        uint64_t flags = secinfo::pt(it.type) | it.rights;
        if (it.pending) flags |= secinfo::PENDING;
        if (it.modified) flags |= secinfo::MODIFIED;
        if (it.restricted && it.type == PageType::REG) flags |= secinfo::PR;
        if (it.type == PageType::REG && !it.pending && !it.restricted) return;
        if (it.type == PageType::TRIM && !it.modified) return;
        const bool lie = pick(5) == 0;
        put_operand(inside_[cpu], lie ? flags ^ secinfo::X : flags);
        const bool needs_tracking = it.restricted || it.modified;
        const Answer expected = it.blocked                          ? epcm_pf(it.linear, pfec::U)
                                : lie                               ? status(PAGE_ATTRIBUTES_MISMATCH)
                                : needs_tracking && !is_tracked(it) ? status(NOT_TRACKED)
                                                                    : success();
        ASSERT_EQ(maker(cpu).enclu(Enclu::EACCEPT, enclaves_[inside_[cpu]].at(6), it.linear), expected);
        if (expected != success()) return;
        ModelPage& accepted = model(page);
        accepted.pending = accepted.modified = accepted.restricted = false;
    }

    void emodpe() {
        const int cpu = static_cast<int>(pick(2));
        const PageIndex page = own_page(cpu);
        ModelPage& it = model(page);
        if (inside_[cpu] < 0 || !it.valid || it.enclave != inside_[cpu] || it.secs) return;
        machine_.map_epc(it.linear, page);
        static constexpr uint64_t kRights[] = {0, secinfo::R, secinfo::W, secinfo::R | secinfo::W,
                                               secinfo::X};
        const uint64_t rights = kRights[pick(5)];
        put_operand(inside_[cpu], rights | secinfo::pt(PageType::REG));
        const uint64_t extended = it.rights | rights;
        const bool usable = it.type == PageType::REG && !it.blocked && !it.pending && !it.modified;
        const Answer expected = !usable ? epcm_pf(it.linear, pfec::U)
                                : (extended & (secinfo::R | secinfo::W)) == secinfo::W ? gp()
                                                                                       : success();
        ASSERT_EQ(maker(cpu).enclu(Enclu::EMODPE, enclaves_[inside_[cpu]].at(6), it.linear), expected);
        if (expected == success()) it.rights = extended;
    }
    void eacceptcopy() {
        const int cpu = static_cast<int>(pick(2));
        const PageIndex page = own_page(cpu);
        ModelPage& it = model(page);
        if (inside_[cpu] < 0 || !it.valid || it.enclave != inside_[cpu] || it.secs) return;
        machine_.map_epc(it.linear, page);
        const uint64_t rights = pick(2) == 0 ? secinfo::R : secinfo::R | secinfo::W | secinfo::X;
        put_operand(inside_[cpu], rights | secinfo::pt(PageType::REG));
        const bool is_new = it.type == PageType::REG && it.pending && !it.modified && !it.blocked &&
                            it.rights == (secinfo::R | secinfo::W);
        const Answer expected = is_new ? success() : status(PAGE_ATTRIBUTES_MISMATCH);
        const auto& enclave = enclaves_[inside_[cpu]];
        ASSERT_EQ(maker(cpu).enclu(Enclu::EACCEPTCOPY, enclave.at(6), it.linear, enclave.at(6)), expected);
        if (!is_new) return;
        it.rights = rights;
        it.pending = it.restricted = false;
        ASSERT_TRUE(std::ranges::equal(machine_.epc_bytes(page), machine_.epc_bytes(enclave.epc(6))));
        ++copied_;
    }
    // The page that has it is the second thread's frame: never changed by others.
    void put_operand(int enclave, uint64_t flags) {
        const SECINFO info{.FLAGS = flags, .RESERVED = {}};
        std::memcpy(machine_.epc_bytes(enclaves_[enclave].epc(6)).data(), &info, sizeof info);
    }
    void edbg() {
        const PageIndex page = any_page();
        const ModelPage& it = model(page);
        const bool writes = pick(2) == 0;
        const uint64_t address = epc_linear(page) + 64;
        const bool has_data =
            it.valid && !it.secs && (it.va ? !writes : it.type == PageType::REG || it.type == PageType::TCS);
        const Answer expected = !has_data                   ? epcm_pf(address, writes ? pfec::W : 0)
                                : it.va                     ? success()
                                : it.pending || it.modified ? status(PAGE_NOT_DEBUGGABLE)
                                : it.enclave != kDebugged || it.type == PageType::TCS ? gp()
                                                                                      : success();
        if (it.type == PageType::TCS && it.enclave == kDebugged && !writes)
            return;  // some of its fields are shown
        ASSERT_EQ(kernel_.encls(writes ? Encls::EDBGWR : Encls::EDBGRD, 0, address), expected);
        if (expected == success() && !it.va) ++debugged_;
    }

    // ---- The third enclave: pages without contents, in any order, and then perhaps its end.

    void ecreate() {
        const PageIndex page = any_page();
        if (has_third()) return;
        third_ = EnclaveMaker::secs(kBases[kThird], TestEnclave::kSize);
        const Answer expected = model(page).valid ? epcm_pf(epc_linear(page)) : success();
        ASSERT_EQ(kernel_.ecreate(page, third_), expected);
        if (expected != success()) return;
        measurement_ = measure_ecreate(third_.SSAFRAMESIZE, third_.SIZE);
        enclaves_[kThird].secs = page;
        before_track_[kThird] = 0;
        model(page) = {.valid = true, .secs = true, .enclave = kThird};
    }
    void eadd() {
        const PageIndex page = any_page();
        const uint64_t number = pick(8);
        if (pick(2) != 0) return;
        const bool outside = pick(8) == 0;
        const uint64_t linear = kBases[kThird] + number * kPageSize + (outside ? TestEnclave::kSize : 0);
        constexpr uint64_t kFlags = secinfo::R | secinfo::W | secinfo::pt(PageType::REG);
        // The page is looked at first, and is not the SECS then.
        const Answer expected = model(page).valid               ? epcm_pf(epc_linear(page))
                                : !has_third()                  ? epcm_pf(epc_linear(kNoSecs))
                                : outside || third_initialized_ ? gp()
                                                                : success();
        ASSERT_EQ(kernel_.eadd(page, enclaves_[kThird].secs, linear, kFlags), expected);
        if (expected != success()) return;
        measure_eadd(measurement_, number * kPageSize, SECINFO{.FLAGS = kFlags, .RESERVED = {}});
        model(page) = {.valid = true,
                       .enclave = kThird,
                       .linear = linear,
                       .type = PageType::REG,
                       .rights = secinfo::R | secinfo::W};
    }
    void eextend() {
        const PageIndex page = any_page();
        const ModelPage& it = model(page);
        const bool child =
            it.valid && !it.secs && !it.va && (it.type == PageType::REG || it.type == PageType::TCS);
        // Of another enclave's page, or of one that is done, it is refused.
        const bool extends = child && it.enclave == kThird && !third_initialized_;
        const Answer expected = !child ? epcm_pf(epc_linear(page), 0) : extends ? success() : gp();
        ASSERT_EQ(kernel_.encls(Encls::EEXTEND, epc_linear(enclaves_[kThird].secs), epc_linear(page)),
                  expected);
        if (extends) measure_eextend(measurement_, it.linear - kBases[kThird], {});
    }
    // Signing takes long.
    void einit() {
        if (pick(16) != 0) return;
        const bool wrong = pick(4) == 0;
        auto sigstruct =
            EnclaveMaker::unsigned_sigstruct(third_, wrong ? Measurement{} : measurement_.finish());
        sign(sigstruct, test_signing_key()).value();
        const Answer expected = !has_third()         ? epcm_pf(epc_linear(kNoSecs))
                                : third_initialized_ ? gp()
                                : wrong              ? status(INVALID_MEASUREMENT)
                                                     : success();
        ASSERT_EQ(kernel_.einit(enclaves_[kThird].secs, sigstruct), expected);
        if (expected != success()) return;
        third_initialized_ = true;
        ++initialized_;
    }
    void epa() {
        const PageIndex page = any_page();
        if (pick(4) != 0) return;
        const Answer expected = model(page).valid ? epcm_pf(epc_linear(page)) : success();
        ASSERT_EQ(kernel_.epa(page), expected);
        if (expected == success()) model(page) = {.valid = true, .va = true};
    }

    FakeMachine machine_{
        FakeMachine::Options{.sections = {{memory::GuestAddress(64_GiB), kPageCount* kPageSize}}}};
    std::array<FakeCpu, 3> cpus_;
    std::array<EnclaveMaker, 2> makers_;  // go in and out
    EnclaveMaker kernel_;                 // stays outside
    std::array<TestEnclave, 3> enclaves_{};
    bool third_initialized_ = false;
    std::array<ModelPage, kPageCount> pages_{};
    std::vector<SealedPage> sealed_;
    std::vector<uint32_t> lost_slots_;  // of pages whose enclave is gone
    std::array<int, 2> inside_{-1, -1};
    std::array<int, 3> before_track_{};  // processors that entered before the enclave's last ETRACK
    SECS third_{};
    crypto::Sha256Blocks measurement_;
    int copied_ = 0;
    int debugged_ = 0;
    int initialized_ = 0;
    std::mt19937 random_{2024};
};

TEST_F(Model, EveryLeafGivesWhatTheModelSays) {
    using Step = void (Model::*)();
    static constexpr Step kSteps[] = {&Model::eremove,
                                      &Model::eremove,
                                      &Model::remove_third,
                                      &Model::eblock,
                                      &Model::etrack,
                                      &Model::ewb,
                                      &Model::eld,
                                      &Model::eld,
                                      &Model::ewb,
                                      &Model::eaug,
                                      &Model::emodpr,
                                      &Model::emodt,
                                      &Model::enter_or_leave,
                                      &Model::eaccept,
                                      &Model::eaccept,
                                      &Model::emodpe,
                                      &Model::eacceptcopy,
                                      &Model::edbg,
                                      &Model::ecreate,
                                      &Model::eadd,
                                      &Model::eextend,
                                      &Model::einit,
                                      &Model::epa};
    for (int step = 0; step < 20'000 && !HasFatalFailure(); ++step) {
        SCOPED_TRACE(step);
        (this->*kSteps[pick(static_cast<uint32_t>(std::size(kSteps)))])();
        ASSERT_EQ(machine_.engine().find_inconsistency(), std::nullopt);
        const auto valid = std::ranges::count_if(pages_, &ModelPage::valid);
        ASSERT_EQ(machine_.engine().report().valid_pages, static_cast<uint32_t>(valid));
    }
    // Everything of consequence happened.
    for (const auto& leaf : machine_.engine().report().leaves) {
        const std::string_view seen[] = {"EWB",    "ELDU",    "ELDB",   "EAUG",   "EMODT",
                                         "EMODPR", "EACCEPT", "EENTER", "EMODPE", "ECREATE",
                                         "EADD",   "EEXTEND", "EPA"};
        if (std::ranges::find(seen, leaf.name) != std::end(seen)) {
            EXPECT_GT(leaf.completed, 50U) << leaf.name;
        }
    }
    EXPECT_GT(copied_, 20);
    EXPECT_GT(debugged_, 20);
    EXPECT_GT(initialized_, 5);
    for (int cpu = 0; cpu < 2; ++cpu)
        if (inside_[cpu] >= 0) maker(cpu).interrupt();
}

}  // namespace
}  // namespace alcove::sgx
