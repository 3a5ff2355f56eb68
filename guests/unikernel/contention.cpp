// SPDX-License-Identifier: Apache-2.0
//
// What several processors want of the same EPC pages at once. Each goes through the life of the pages of an
// enclave that is never initialized, again and again, and gives the enclave that all of them use a page, the
// same one. So most of what it asks for comes too early, too late, or while another one is at it, and may be
// refused; but only as the architecture has it (SDM vol. 3D, "ENCLS", "Concurrency Restrictions" of each
// leaf).
#include "sgx/spec_enclave.hpp"
#include "unikernel/unikernel.hpp"

namespace sgx = alcove::sgx;
using alcove::sgx::Encls;
using alcove::sgx::kPageSize;

namespace {

constexpr uint64_t kMostRounds = 300;
constexpr uint64_t kDoneOfEach = 5, kConflicts = 20;  // enough; a test counts them
constexpr uint64_t kPages = 2;
constexpr uint64_t kSecs = 64;  // EPC pages, one behind the other
constexpr uint64_t kFirst = kSecs + 1;
constexpr uint64_t kVersions = kFirst + kPages;
constexpr uint64_t kGiven = kVersions + 1;
constexpr uint64_t kBase = uint64_t{8} << 39;
constexpr uint64_t kSize = 1 << 20;

constexpr uint64_t kGp = kFaulted | 13, kPf = kFaulted | 14;

enum Step : uint64_t { kBuild, kBlock, kTrack, kEvict, kLoadBack, kRemove, kGive, kTake, kTakeAway, kSteps };

// What a leaf may answer but 0: that another one is at the page; that this page can not have it now.
struct Allowed {
    const char* name;
    uint64_t conflict, others[3];
};
constexpr uint64_t code(sgx::StatusCode status) {
    return static_cast<uint64_t>(status);
}
using enum sgx::StatusCode;
constexpr Allowed kAllowed[kSteps] = {
    {"eadd", kGp, {kPf}},
    {"eblock", code(EPC_PAGE_CONFLICT), {code(BLKSTATE), code(PG_INVLD)}},
    {"etrack", kGp, {}},
    {"ewb", kGp, {kPf, code(PAGE_NOT_BLOCKED), code(NOT_TRACKED)}},
    {"eldu", kGp, {kPf}},
    {"eremove", kGp, {}},
    {"eaug", kGp, {kPf}},
    {"eaccept", kGp, {kPf, code(PAGE_ATTRIBUTES_MISMATCH)}},
    {"eremove of eaug's", kGp, {code(ENCLAVE_ACT)}},
};

// Of one processor.
struct Part {
    alignas(kPageSize) uint64_t sealed[512];
    alignas(128) sgx::PCMD pcmd;
    alignas(64) sgx::SECINFO secinfo;
    alignas(32) sgx::PAGEINFO pageinfo;
    uint64_t evicted;  // the linear address of what is sealed; 0: nothing
    struct Count {
        uint64_t done, conflicts, others, wrong, wrong_answer;
    } counts[kSteps];
};
Part parts[kProcessors];
alignas(kPageSize) uint64_t contents[512];
alignas(kPageSize) sgx::SECS secs;

void count(Part& part, Step step, uint64_t answer) {
    const Allowed& allowed = kAllowed[step];
    Part::Count& counts = part.counts[step];
    if (answer == 0) {
        ++counts.done;
    } else if (answer == allowed.conflict) {
        ++counts.conflicts;
    } else if (answer == allowed.others[0] || answer == allowed.others[1] || answer == allowed.others[2]) {
        ++counts.others;
    } else {
        ++counts.wrong;
        counts.wrong_answer = answer;
    }
}

uint64_t create() {
    secs.SIZE = kSize;
    secs.BASEADDR = kBase;
    secs.SSAFRAMESIZE = 1;
    secs.ATTRIBUTES.FLAGS = sgx::attributes::MODE64BIT;
    secs.ATTRIBUTES.XFRM = sgx::xcr0::X87 | sgx::xcr0::SSE;
    Part& part = parts[0];
    part.secinfo = {};
    part.pageinfo = {};
    part.pageinfo.SRCPGE = address(&secs);
    part.pageinfo.SECINFO = address(&part.secinfo);
    return encls(leaf(Encls::ECREATE), address(&part.pageinfo), epc_page(kSecs), 0);
}

// EADD and EAUG tell nothing but their faults.
uint64_t fault_of(uint64_t answer) {
    return (answer & kFaulted) != 0 ? answer : 0;
}

uint64_t add(Part& part, uint64_t page) {
    part.secinfo = {};
    part.secinfo.FLAGS = sgx::secinfo::R | sgx::secinfo::W | sgx::secinfo::pt(sgx::PageType::REG);
    part.pageinfo = {};
    part.pageinfo.LINADDR = kBase + page * kPageSize;
    part.pageinfo.SRCPGE = address(contents);
    part.pageinfo.SECINFO = address(&part.secinfo);
    part.pageinfo.SECS = epc_page(kSecs);
    return fault_of(encls(leaf(Encls::EADD), address(&part.pageinfo), epc_page(kFirst + page), 0));
}

uint64_t version_slot(const Part& part) {
    return epc_page(kVersions) + 8 * static_cast<uint64_t>(&part - parts);
}

uint64_t evict(Part& part, uint64_t page) {
    part.pageinfo = {};
    part.pageinfo.SRCPGE = address(part.sealed);
    part.pageinfo.SECINFO = address(&part.pcmd);
    const uint64_t answer =
        encls(leaf(Encls::EWB), address(&part.pageinfo), epc_page(kFirst + page), version_slot(part));
    if (answer == 0) part.evicted = part.pageinfo.LINADDR;
    return answer;
}

uint64_t load_back(Part& part, uint64_t page) {
    part.pageinfo = {};
    part.pageinfo.LINADDR = part.evicted;
    part.pageinfo.SRCPGE = address(part.sealed);
    part.pageinfo.SECINFO = address(&part.pcmd);
    part.pageinfo.SECS = epc_page(kSecs);
    const uint64_t answer =
        encls(leaf(Encls::ELDU), address(&part.pageinfo), epc_page(kFirst + page), version_slot(part));
    if (answer == 0) part.evicted = 0;
    return answer;
}

uint64_t remove(uint64_t page) {
    return encls(leaf(Encls::EREMOVE), 0, epc_page(page), 0);
}

uint64_t give(Part& part) {
    part.pageinfo = {};
    part.pageinfo.LINADDR = kEnclave + kHeap;
    part.pageinfo.SECS = epc_page(0);
    return fault_of(encls(leaf(Encls::EAUG), address(&part.pageinfo), epc_page(kGiven), 0));
}

uint64_t take(uint64_t tcs) {
    const uint64_t one[2] = {kEnclave + kHeap, 1};
    const uint64_t answer = enter_at(tcs, kAccept, address(one));
    if (!was_exception()) return answer == 1 ? 0 : answer >> 32;
    const uint64_t fault = kFaulted | last_exception().vector;
    enter_at(tcs, kNothing);  // its handler, and out
    resume(tcs);
    return fault;
}

uint64_t sum_of(Step step, uint64_t Part::Count::*what) {
    uint64_t sum = 0;
    for (const Part& part : parts)
        sum += part.counts[step].*what;
    return sum;
}

void print_counts(Step step) {
    print_text("contended ");
    print_text(kAllowed[step].name);
    for (const auto what : {&Part::Count::done, &Part::Count::conflicts, &Part::Count::others}) {
        print_text(" ");
        print_number(sum_of(step, what));
    }
    print_text("\n");
    for (const Part& part : parts) {
        if (part.counts[step].wrong == 0) continue;
        print_text("wrong answer of ");
        line(kAllowed[step].name, part.counts[step].wrong_answer);
    }
}

// Each leaf was done, and those that want a page for themselves, or meet one who does, were refused.
bool is_enough() {
    uint64_t conflicts = 0;
    for (uint64_t number = 0; number < kSteps; ++number) {
        const auto step = static_cast<Step>(number);
        if (sum_of(step, &Part::Count::done) < kDoneOfEach) return false;
        conflicts += sum_of(step, &Part::Count::conflicts);
    }
    for (const Step step : {kBuild, kBlock, kEvict, kRemove})
        if (sum_of(step, &Part::Count::conflicts) == 0) return false;
    return conflicts >= kConflicts;
}

}  // namespace

void prepare_contention() {
    uint64_t failed = create();
    failed |= encls(leaf(Encls::EPA), static_cast<uint64_t>(sgx::PageType::VA), epc_page(kVersions), 0);
    line("to contend for", failed & kFaulted);
    *heap_entry(0) = epc_address(kGiven) | 7;
}

void contend(uint64_t number) {
    Part& part = parts[number];
    for (uint64_t round = 0; round < kMostRounds && !is_enough(); ++round) {
        const uint64_t page = round % kPages;
        count(part, kBuild, add(part, page));
        count(part, kBlock, encls(leaf(Encls::EBLOCK), 0, epc_page(kFirst + page), 0));
        count(part, kTrack, encls(leaf(Encls::ETRACK), 0, epc_page(kSecs), 0));
        if (part.evicted == 0) count(part, kEvict, evict(part, page));
        if (part.evicted != 0) count(part, kLoadBack, load_back(part, page));
        count(part, kRemove, remove(kFirst + page));
        count(part, kGive, give(part));
        count(part, kTake, take(tcs_of(number)));
        count(part, kTakeAway, remove(kGiven));
    }
}

void end_contention() {
    for (uint64_t step = 0; step < kSteps; ++step)
        print_counts(static_cast<Step>(step));
    uint64_t left = 0;
    for (uint64_t page = kFirst; page <= kGiven; ++page)
        left |= remove(page);
    line("left of it", left | remove(kSecs));
}
