// SPDX-License-Identifier: Apache-2.0
//
// Several processors run conflicting leaves on the same few pages at once. What must hold after each step:
// the EPCM's invariants; an answer that the architecture has; and of every page that some enclave can reach,
// the contents that were put there for this enclave and address (or are a copy of the one page that
// EACCEPTCOPY takes), wherever it went in between. At the end everything can be removed: no latch was kept.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <thread>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"
#include "sgx/measurement.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr uint32_t kThreads = 4;
constexpr int kSteps = 1500;
constexpr PageIndex kStressVa{16};
constexpr PageIndex kFirstFree{17};
constexpr uint32_t kFreePages = 10;
constexpr size_t kPagesOfEach = 6;
constexpr uint64_t kDebug = attributes::MODE64BIT | attributes::DEBUG;

// What a kernel keeps of a page that it evicted. Whoever takes it out may load it; two may try.
struct Evicted {
    PageBytes bytes;
    PCMD pcmd;
    uint64_t linear;
    uint32_t enclave;
    uint32_t slot;
};

class Stress : public testing::Test {
  protected:
    Stress() : setup_cpu_(machine_, 7), setup_(setup_cpu_) {
        for (uint32_t i = 0; i < 2; ++i)
            enclaves_[i] = TestEnclave::make(setup_, PageIndex{i * 8}, kDebug,
                                             TestEnclave::kBase + i * TestEnclave::kSize);
        EXPECT_EQ(setup_.epa(kStressVa), success());
    }

    // A pattern that says whose the page is.
    static uint64_t pattern(uint32_t enclave, uint64_t linear) {
        return linear ^ (uint64_t{enclave} + 1) << 60;
    }

    // Linear; those that visits use.
    static std::array<uint64_t, kPagesOfEach> pages_of(const TestEnclave& enclave) {
        return {enclave.data(),         enclave.data2(),        enclave.free_linear(0),
                enclave.free_linear(1), enclave.free_linear(2), enclave.free_linear(3)};
    }
    static uint64_t source_of(const TestEnclave& enclave) { return enclave.data2(); }  // of EACCEPTCOPY
    bool belongs_to(uint64_t word, uint32_t enclave) const {
        return word == 0 || std::ranges::any_of(pages_of(enclaves_[enclave]), [&](uint64_t linear) {
                   return word == pattern(enclave, linear);
               });
    }

    static bool is_one_of(const Answer& answer, std::initializer_list<Answer> allowed) {
        return std::ranges::find(allowed, answer) != allowed.end();
    }
    void require(bool holds, const char* what, const Answer& answer) {
        if (holds) return;
        ++wrong_;
        const std::lock_guard lock(mutex_);
        if (wrong_ < 10) std::cerr << what << ": " << answer << "\n";
    }

    void run(uint32_t id) {
        FakeCpu cpu(machine_, id);
        EnclaveMaker kernel(cpu);
        std::mt19937 random(id + 1);
        const auto pick = [&](uint32_t count) { return static_cast<uint32_t>(random() % count); };
        // The data pages of both enclaves, and free ones.
        const auto any_page = [&] {
            const uint32_t choice = pick(kFreePages + 4);
            if (choice < kFreePages) return PageIndex{number(kFirstFree) + choice};
            return enclaves_[choice % 2].epc(3 + choice / 2 % 2);
        };
        for (int step = 0; step < kSteps; ++step) {
            const PageIndex page = any_page();
            const auto& enclave = enclaves_[pick(2)];
            const Exception invalid{vector::PF, 0x8003, epc_linear(page)};
            switch (pick(11)) {
                case 0:
                    require_answer("EREMOVE", kernel.eremove(page), {success(), gp(), status(ENCLAVE_ACT)});
                    break;
                case 1:
                    require_answer(
                        "EBLOCK", kernel.eblock(page),
                        {success(), status(EPC_PAGE_CONFLICT), status(PG_INVLD), notice(BLKSTATE)});
                    break;
                case 2:
                    require_answer("ETRACK", kernel.etrack(enclave.secs),
                                   {success(), gp(), status(PREV_TRK_INCMPL)});
                    break;
                case 3: {
                    const uint32_t slot = id * 64 + pick(64);
                    const auto answer = kernel.ewb(page, kernel.spare(), kStressVa, slot);
                    require_answer("EWB", answer,
                                   {success(),
                                    gp(),
                                    {.fault = invalid},
                                    status(PAGE_NOT_BLOCKED),
                                    status(NOT_TRACKED),
                                    notice(VA_SLOT_OCCUPIED)});
                    if (!answer.fault && !answer.zf) keep(kernel, slot);
                    break;
                }
                case 4:
                    load(kernel, page, pick(2) == 0);
                    break;
                case 5: {
                    const uint64_t linear = pages_of(enclave).at(pick(kPagesOfEach));
                    const auto answer = kernel.eaug(page, enclave.secs, linear);
                    require_answer("EAUG", answer, {success(), gp(), {.fault = invalid}});
                    if (answer == success()) machine_.map_epc(linear, page);
                    break;
                }
                case 6:
                    require_answer("EMODT", kernel.emod(Encls::EMODT, page, secinfo::pt(PageType::TRIM)),
                                   {success(),
                                    {.fault = invalid},
                                    status(EPC_PAGE_CONFLICT),
                                    status(PAGE_NOT_MODIFIABLE)});
                    break;
                case 7:
                    require_answer("EMODPR", kernel.emod(Encls::EMODPR, page, secinfo::R),
                                   {success(),
                                    {.fault = invalid},
                                    status(EPC_PAGE_CONFLICT),
                                    status(PAGE_NOT_MODIFIABLE)});
                    break;
                case 8:
                    visit(cpu, kernel, enclave, pick(2) == 0 ? enclave.tcs() : enclave.tcs2(), random);
                    break;
                case 9: {
                    const Exception unreadable{vector::PF, 0x8001, epc_linear(page)};
                    const auto answer = kernel.encls(Encls::EDBGRD, 0, epc_linear(page));
                    require_answer("EDBGRD", answer,
                                   {success(), gp(), {.fault = unreadable}, status(PAGE_NOT_DEBUGGABLE)});
                    const uint64_t word = cpu.registers().rbx;
                    if (answer == success())
                        require(belongs_to(word, 0) || belongs_to(word, 1), "EDBGRD of nobody's", {});
                    break;
                }
                case 10: {  // behind the words that visits leave
                    const uint64_t address = epc_linear(page) + 8 * (1 + pick(511));
                    require_answer("EDBGWR", kernel.encls(Encls::EDBGWR, random(), address),
                                   {success(),
                                    gp(),
                                    {.fault = Exception{vector::PF, 0x8003, address}},
                                    status(PAGE_NOT_DEBUGGABLE)});
                    break;
                }
            }
            const auto inconsistency = machine_.engine().find_inconsistency();
            require(!inconsistency, inconsistency ? inconsistency->c_str() : "", {});
        }
    }
    void require_answer(const char* leaf, const Answer& answer, std::initializer_list<Answer> allowed) {
        require(is_one_of(answer, allowed), leaf, answer);
    }

    void keep(EnclaveMaker& kernel, uint32_t slot) {
        const auto pcmd = kernel.get<PCMD>(kernel.pcmd());
        const auto info = kernel.get<PAGEINFO>(kernel.pageinfo());
        const std::lock_guard lock(mutex_);
        std::erase_if(evicted_, [&](const Evicted& other) { return other.slot == slot; });
        evicted_.push_back({.bytes = kernel.get<PageBytes>(kernel.spare()),
                            .pcmd = pcmd,
                            .linear = info.LINADDR,
                            .enclave = info.LINADDR >= enclaves_[1].base ? 1U : 0U,
                            .slot = slot});
    }
    void load(EnclaveMaker& kernel, PageIndex page, bool blocked) {
        std::optional<Evicted> sealed;
        {
            const std::lock_guard lock(mutex_);
            if (evicted_.empty()) return;
            sealed = evicted_[page_count_++ % evicted_.size()];  // left there: others try it too
        }
        kernel.put(kernel.spare(), sealed->bytes);
        kernel.put(kernel.pcmd(), sealed->pcmd);
        const auto answer =
            kernel.eld(blocked ? Encls::ELDB : Encls::ELDU, page, kernel.spare(), sealed->linear,
                       enclaves_[sealed->enclave].secs, kStressVa, sealed->slot);
        const Exception invalid{vector::PF, 0x8003, epc_linear(page)};
        require_answer("ELD", answer, {success(), gp(), {.fault = invalid}, status(MAC_COMPARE_FAIL)});
        if (answer != success()) return;
        machine_.map_epc(sealed->linear, page);
        const std::lock_guard lock(mutex_);
        ++loads_[sealed->pcmd.MAC];
    }

    // EACCEPT, EMODPE or EACCEPTCOPY, whatever the page is at the moment.
    void change_from_inside(FakeCpu& cpu, EnclaveMaker& thread, const TestEnclave& enclave, uint64_t linear,
                            uint64_t chance) {
        constexpr uint64_t kReg = secinfo::pt(PageType::REG);
        constexpr uint64_t kNew = secinfo::R | secinfo::W | secinfo::PENDING | kReg;
        constexpr uint64_t kRequests[] = {kNew, secinfo::R | secinfo::PR | kReg,
                                          secinfo::MODIFIED | secinfo::pt(PageType::TRIM)};
        const uint64_t operand = enclave.at(6) + 2048 + 64 * cpu.processor().id();  // what no exit writes
        const auto call = [&](Enclu leaf, uint64_t flags, uint64_t source = 0) {
            const SECINFO info{.FLAGS = flags, .RESERVED = {}};
            require(cpu.store(operand, object_bytes(info)).has_value(), "its own page", {});
            return thread.enclu(leaf, operand, linear, source);
        };
        const auto fault = [](uint32_t error, uint64_t address) {
            return Answer{.fault = Exception{vector::PF, error, address}};
        };
        switch (chance % 3) {
            case 0: {
                const auto answer = call(Enclu::EACCEPT, kRequests[chance / 3 % std::size(kRequests)]);
                require_answer("EACCEPT", answer,
                               {success(), gp(), fault(0x8005, linear), fault(4, linear),
                                status(PAGE_ATTRIBUTES_MISMATCH), status(NOT_TRACKED)});
                if (answer == success()) ++accepted_;
                break;
            }
            case 1:
                require_answer("EMODPE", call(Enclu::EMODPE, secinfo::R | secinfo::W),
                               {success(), gp(), fault(0x8005, linear), fault(4, linear)});
                break;
            case 2: {
                const uint64_t source = source_of(enclave);
                const auto answer = call(Enclu::EACCEPTCOPY, secinfo::R | secinfo::W | kReg, source);
                require_answer("EACCEPTCOPY", answer,
                               {success(), gp(), fault(6, linear), fault(4, source), fault(0x8005, source),
                                status(PAGE_ATTRIBUTES_MISMATCH)});
                if (answer == success()) ++copied_;
                break;
            }
        }
    }
    // Enters, uses what it reaches, leaves one way or the other.
    void visit(FakeCpu& cpu, EnclaveMaker& kernel, const TestEnclave& enclave, uint64_t tcs,
               std::mt19937& random) {
        const auto entered = kernel.enter(tcs);
        require_answer("EENTER", entered, {success(), gp()});
        if (entered != success()) return;
        const uint32_t which = enclave.secs == enclaves_[0].secs ? 0 : 1;
        for (const uint64_t linear : pages_of(enclave)) {
            Le64 word;
            if (cpu.load(linear, {reinterpret_cast<uint8_t*>(&word), sizeof word})) {
                require(
                    word == 0 || word == pattern(which, linear) || word == pattern(which, source_of(enclave)),
                    "contents of another page", {});
                word = pattern(which, linear);
                static_cast<void>(cpu.store(linear, object_bytes(word)));
            }
            change_from_inside(cpu, kernel, enclave, linear, random());
        }
        if (random() % 3 == 0) {
            kernel.interrupt();
            require_answer("ERESUME", kernel.resume(tcs), {success(), gp()});
            if (!cpu.processor().is_inside()) {
                resume_later(kernel, tcs);
                return;
            }
        }
        require_answer("EEXIT", kernel.exit(), {success()});
    }
    // Somebody else was at the TCS in that moment; the frame must not stay full.
    void resume_later(EnclaveMaker& kernel, uint64_t tcs) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        auto answer = kernel.resume(tcs);
        while (answer != success() && std::chrono::steady_clock::now() < end) {
            std::this_thread::yield();
            answer = kernel.resume(tcs);
        }
        require_answer("ERESUME, in the end", answer, {success()});
        if (answer == success()) require_answer("EEXIT", kernel.exit(), {success()});
    }

    FakeMachine machine_;
    FakeCpu setup_cpu_;
    EnclaveMaker setup_;
    std::array<TestEnclave, 2> enclaves_{};
    std::mutex mutex_;
    std::vector<Evicted> evicted_;
    size_t page_count_ = 0;
    std::map<std::array<uint8_t, 16>, int> loads_;  // by the sealed page's MAC
    std::atomic<int> wrong_{0};
    std::atomic<int> accepted_{0};
    std::atomic<int> copied_{0};
};

TEST_F(Stress, ConflictingLeavesKeepTheInvariants) {
    std::vector<std::thread> threads;
    for (uint32_t id = 0; id < kThreads; ++id)
        threads.emplace_back([this, id] { run(id); });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(wrong_, 0);
    EXPECT_GT(accepted_, 0);
    EXPECT_GT(copied_, 0);
    for (const auto& [mac, times] : loads_)
        EXPECT_EQ(times, 1) << "one sealed page became two";

    for (uint32_t page = 0; page < 64; ++page) {
        if (PageIndex{page} != enclaves_[0].secs && PageIndex{page} != enclaves_[1].secs) {
            EXPECT_EQ(setup_.eremove(PageIndex{page}), success());
        }
    }
    for (const auto& enclave : enclaves_)
        EXPECT_EQ(setup_.eremove(enclave.secs), success());
    EXPECT_EQ(machine_.engine().report().valid_pages, 0U);
}

// Several build one enclave, each step of it all at once: some of them get through, and what comes of it is
// what the same steps give one after the other.
class StressBuilding : public testing::Test {
  protected:
    static constexpr PageIndex kSecs{40};
    static constexpr uint32_t kPages = 3;
    static constexpr uint64_t kFlags = secinfo::R | secinfo::W | secinfo::pt(PageType::REG);

    StressBuilding() {
        for (uint32_t id = 0; id < kThreads; ++id) {
            cpus_.push_back(std::make_unique<FakeCpu>(machine_, id));
            makers_.emplace_back(*cpus_.back());
        }
        other_ = signed_sigstruct(Measurement{1});
        const auto mrsigner = mrsigner_of(other_);
        for (auto& cpu : cpus_)
            for (uint32_t i = 0; i < 4; ++i)
                cpu->processor().write_msr(0x8c + i, *read_object<Le64>(mrsigner, 8 * i));
    }

    SIGSTRUCT signed_sigstruct(const Measurement& hash) const {
        auto made = EnclaveMaker::unsigned_sigstruct(secs_, hash);
        sign(made, test_signing_key()).value();
        return made;
    }

    // What each of them did last is another thing, where that is given.
    using Leaf = std::function<Answer(EnclaveMaker&)>;
    std::vector<Answer> together(const Leaf& leaf, const Leaf& of_the_last = {}) {
        std::vector<Answer> answers(kThreads);
        std::atomic<uint32_t> waiting{kThreads};
        std::vector<std::thread> threads;
        for (uint32_t id = 0; id < kThreads; ++id)
            threads.emplace_back([&, id] {
                --waiting;
                while (waiting != 0)
                    std::this_thread::yield();
                const bool last = id == kThreads - 1 && of_the_last;
                answers[id] = last ? of_the_last(makers_[id]) : leaf(makers_[id]);
            });
        for (auto& thread : threads)
            thread.join();
        EXPECT_EQ(machine_.engine().find_inconsistency(), std::nullopt);
        return answers;
    }
    static long successes(std::span<const Answer> answers) { return std::ranges::count(answers, success()); }
    // Until one gets through: all may have been in each other's way.
    void exactly_one(const Leaf& leaf) {
        for (int round = 0; round < 1000; ++round) {
            const long done = successes(together(leaf));
            ASSERT_LE(done, 1);
            if (done == 1) return;
        }
        FAIL() << "nobody gets through";
    }
    // Another one wants the same EPC page for versions.
    void add(uint32_t page) {
        const PageIndex place{number(kSecs) + 1 + page};
        const Leaf eadd = [&](EnclaveMaker& maker) {
            return maker.eadd(place, kSecs, secs_.BASEADDR + page * kPageSize, kFlags);
        };
        const auto answers = together(eadd, [&](EnclaveMaker& maker) { return maker.epa(place); });
        ASSERT_LE(successes(answers), 1);
        if (answers.back() == success()) {
            ASSERT_EQ(makers_[0].eremove(place), success());
        }
        const std::span adders(answers.begin(), kThreads - 1);
        if (successes(adders) == 0) exactly_one(eadd);
        measure_eadd(measurement_, page * kPageSize, SECINFO{.FLAGS = kFlags, .RESERVED = {}});
    }
    // Meanwhile another one tries to end the building.
    void extend(uint32_t page, uint64_t offset) {
        const auto answers = together(
            [&](EnclaveMaker& maker) {
                return maker.encls(Encls::EEXTEND, epc_linear(kSecs),
                                   epc_linear(PageIndex{number(kSecs) + 1 + page}) + offset);
            },
            [&](EnclaveMaker& maker) { return maker.einit(kSecs, other_); });
        EXPECT_TRUE(answers.back() == gp() || answers.back() == status(INVALID_MEASUREMENT));
        for (long done = successes(answers); done > 0; --done)
            measure_eextend(measurement_, page * kPageSize + offset, {});
    }

    FakeMachine machine_;
    std::vector<std::unique_ptr<FakeCpu>> cpus_;
    std::vector<EnclaveMaker> makers_;
    SECS secs_ = EnclaveMaker::secs(TestEnclave::kBase, 16 * kPageSize);
    SIGSTRUCT other_{};
    crypto::Sha256Blocks measurement_;
};

TEST_F(StressBuilding, AnEnclaveThatSeveralBuildAtOnceIsThatOfASerialOrder) {
    exactly_one([&](EnclaveMaker& maker) { return maker.ecreate(kSecs, secs_); });
    measurement_ = measure_ecreate(secs_.SSAFRAMESIZE, secs_.SIZE);
    for (uint32_t page = 0; page < kPages; ++page) {
        add(page);
        for (uint64_t offset = 0; offset < kPageSize; offset += kChunkSize)
            extend(page, offset);
    }
    const auto sigstruct = signed_sigstruct(measurement_.finish());
    exactly_one([&](EnclaveMaker& maker) { return maker.einit(kSecs, sigstruct); });
    const auto report = machine_.engine().report();
    ASSERT_EQ(report.enclaves.size(), 1U);
    EXPECT_EQ(report.enclaves[0].mrenclave, measurement_.finish());
    EXPECT_EQ(report.enclaves[0].pages, 1 + kPages);
}

}  // namespace
}  // namespace alcove::sgx
