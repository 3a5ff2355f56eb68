// SPDX-License-Identifier: Apache-2.0
//
// Random leaves against a model that knows nothing of how the engine works: for each page what it is, for
// each processor where it is, and from that what must come out. Two enclaves, two processors that go in and
// out, one that stays in the kernel, pages used for everything by turns.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr uint32_t kPageCount = 28;  // of the EPC: two enclaves, a VA page, and a few to play with
constexpr PageIndex kVaPage{16};
constexpr uint64_t kBases[] = {0x7f00'0000'0000, 0x7e00'0000'0000};

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
        enclaves_[1] = TestEnclave::make(kernel_, PageIndex{8}, attributes::MODE64BIT, kBases[1]);
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
        if (expected == success()) it = {};
    }
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
        const int enclave = static_cast<int>(pick(2));
        const bool unfinished = before_track_[enclave] != 0;
        ASSERT_EQ(kernel_.etrack(enclaves_[enclave].secs), unfinished ? status(PREV_TRK_INCMPL) : success());
        if (unfinished) return;
        before_track_[enclave] = inside_of(enclave);
        for (auto& page : pages_)
            if (page.enclave == enclave) page.waits = false;
    }
    void ewb() {
        const PageIndex page = any_page();
        ModelPage& it = model(page);
        const uint32_t slot = pick(512);
        if (page == kVaPage) return;
        const bool occupied =
            std::ranges::any_of(sealed_, [&](const SealedPage& s) { return s.slot == slot; });
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
        const int enclave = wrong_enclave ? 1 - sealed.page.enclave : sealed.page.enclave;
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
        const int enclave = static_cast<int>(pick(2));
        const PageIndex page = any_page();
        const uint64_t linear = enclaves_[enclave].free_linear(pick(8));
        const Answer expected = model(page).valid ? epcm_pf(epc_linear(page)) : success();
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
        const Answer expected = !child                      ? epcm_pf(epc_linear(page))
                                : it.pending || it.modified ? status(PAGE_NOT_MODIFIABLE)
                                : it.type != PageType::REG  ? epcm_pf(epc_linear(page))
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
        const Answer expected = !convertible                ? epcm_pf(epc_linear(page))
                                : it.pending || it.modified ? status(PAGE_NOT_MODIFIABLE)
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
        const PageIndex page = any_page();
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
        const SECINFO info{.FLAGS = lie ? flags ^ secinfo::X : flags, .RESERVED = {}};
        const PageIndex operand = enclaves_[inside_[cpu]].epc(6);  // the second thread's frame: never changed
        std::memcpy(machine_.epc_bytes(operand).data(), &info, sizeof info);
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

    FakeMachine machine_{
        FakeMachine::Options{.sections = {{memory::GuestAddress(64_GiB), kPageCount* kPageSize}}}};
    std::array<FakeCpu, 3> cpus_;
    std::array<EnclaveMaker, 2> makers_;  // go in and out
    EnclaveMaker kernel_;                 // stays outside
    std::array<TestEnclave, 2> enclaves_{};
    std::array<ModelPage, kPageCount> pages_{};
    std::vector<SealedPage> sealed_;
    std::array<int, 2> inside_{-1, -1};
    std::array<int, 2> before_track_{};  // processors that entered before the enclave's last ETRACK
    std::mt19937 random_{2024};
};

TEST_F(Model, EveryLeafGivesWhatTheModelSays) {
    using Step = void (Model::*)();
    static constexpr Step kSteps[] = {&Model::eremove, &Model::eblock, &Model::etrack,
                                      &Model::ewb,     &Model::eld,    &Model::eaug,
                                      &Model::emodpr,  &Model::emodt,  &Model::enter_or_leave,
                                      &Model::eaccept, &Model::eaccept};
    for (int step = 0; step < 20'000 && !HasFatalFailure(); ++step) {
        SCOPED_TRACE(step);
        (this->*kSteps[pick(static_cast<uint32_t>(std::size(kSteps)))])();
        ASSERT_EQ(machine_.engine().find_inconsistency(), std::nullopt);
        const auto valid = std::ranges::count_if(pages_, &ModelPage::valid);
        ASSERT_EQ(machine_.engine().report().valid_pages, static_cast<uint32_t>(valid));
    }
    // Everything of consequence happened.
    for (const auto& leaf : machine_.engine().report().leaves) {
        const std::string_view seen[] = {"EWB",   "ELDU",   "ELDB",    "EAUG",
                                         "EMODT", "EMODPR", "EACCEPT", "EENTER"};
        if (std::ranges::find(seen, leaf.name) != std::end(seen)) {
            EXPECT_GT(leaf.completed, 100U) << leaf.name;
        }
    }
    for (int cpu = 0; cpu < 2; ++cpu)
        if (inside_[cpu] >= 0) maker(cpu).interrupt();
}

}  // namespace
}  // namespace alcove::sgx
