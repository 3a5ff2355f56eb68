// SPDX-License-Identifier: Apache-2.0
//
// With `processors`, on four of them: several in one enclave at once, and what one processor can do to
// another that is inside: NMI, SMI, INIT; last, all of them at the same EPC pages (contention.cpp). With
// `crowd`, likewise: all of them need more EPC than is in memory. With `cr3`, on two: what becomes of one
// whose page tables are in EPC. Each line is compared by a test.
#include "unikernel/unikernel.hpp"

using alcove::sgx::Encls;

namespace {

// What a processor other than the first is to do; `state` is written last.
enum State : uint64_t { kIdle, kWanted, kDone };
struct Job {
    uint64_t state, kind, command, argument, times, result;
};
enum Kind : uint64_t { kEnter, kResume, kContend, kLoadCr3 };
volatile Job jobs[kProcessors];

// What a guard (enclave.S) has outside.
struct Gate {
    uint64_t open, inside;
};
volatile Gate gates[kProcessors];

constexpr uint64_t kOften = 20;
constexpr uint64_t kTenMs = 30'000'000;         // cycles; at least
constexpr uint64_t kPatience = 20'000'000'000;  // likewise

constexpr uint64_t kSpurious = 0xf0, kIcrLow = 0x300, kIcrHigh = 0x310;
constexpr uint32_t kSmi = 0x200, kNmi = 0x400, kInit = 0x4500, kStartup = 0x4600;
constexpr uint64_t kTrampoline = 0x8000;  // processors.inc

uint64_t number_of_this() {
    return static_cast<uint64_t>(&this_processor() - processors);
}

template <typename Condition>
bool wait_until(Condition condition, uint64_t patience = kPatience) {
    const uint64_t begin = read_tsc();
    while (!condition()) {
        if (read_tsc() - begin > patience) return false;
        asm volatile("pause" ::: "memory");
    }
    return true;
}
void wait_ten_ms() {
    wait_until([] { return false; }, kTenMs);
}

void send(uint64_t processor, uint32_t message) {
    write_lapic(kIcrHigh, static_cast<uint32_t>(processor << 24));
    write_lapic(kIcrLow, message);
}

// As an operating system does, but with one start-up message: that is enough where nothing is lost.
bool start_processor(uint64_t number) {
    const uint64_t before = arrived.count;
    send(number, kInit);
    wait_ten_ms();
    send(number, kStartup | kTrampoline >> 12);
    return wait_until([&] { return arrived.count != before; });
}

void begin(uint64_t number, uint64_t command, uint64_t argument, uint64_t times = 1, Kind kind = kEnter) {
    volatile Job& job = jobs[number];
    job.command = command;
    job.argument = argument;
    job.times = times;
    job.kind = kind;
    job.state = kWanted;
}
uint64_t result_of(uint64_t number) {
    return wait_until([&] { return jobs[number].state == kDone; }) ? jobs[number].result : kException;
}

bool begin_guard(uint64_t number) {
    gates[number].open = 0;
    gates[number].inside = 0;
    begin(number, kGuard, address(&gates[number]));
    return wait_until([&] { return gates[number].inside == 1; });
}
uint64_t end_guard(uint64_t number) {
    gates[number].open = 1;
    return result_of(number);
}

uint64_t count_secrets(const volatile uint64_t* words, uint64_t count) {
    uint64_t found = 0;
    for (uint64_t i = 0; i < count; ++i)
        found += words[i] == kSecret ? 1 : 0;
    return found;
}

void try_together() {
    uint64_t inside = 0;
    for (uint64_t number = 1; number < kProcessors; ++number)
        inside += begin_guard(number) ? 1 : 0;
    line("inside together", inside);
    line("sum", enter(kSum));
    line("eremove meanwhile", encls(leaf(Encls::EREMOVE), 0, epc_page(1 + kDataPage), 0));
    enter_at(tcs_of(1), kNothing);
    print_text("busy tcs");
    print_exception();
    print_text("\n");
    uint64_t intact = 0;
    for (uint64_t number = 1; number < kProcessors; ++number)
        intact += end_guard(number);
    line("intact", intact);

    for (uint64_t number = 1; number < kProcessors; ++number)
        begin(number, kAdd, 1, kOften);
    for (uint64_t i = 0; i < kOften; ++i)
        enter(kAdd, 1);
    for (uint64_t number = 1; number < kProcessors; ++number)
        result_of(number);
    line("added together", enter(kSum));
}

void try_nmi() {
    const volatile Processor& other = processors[1];
    begin_guard(1);
    uint64_t at_aep = 0;
    uint64_t secrets = 0;
    for (uint64_t i = 1; i <= kOften; ++i) {
        send(1, kNmi);
        if (!wait_until([&] { return other.nmis == i; })) break;
        at_aep += other.nmi_rip == address(run_enclave_aep) && other.seen[0] == 3 ? 1 : 0;
        secrets += count_secrets(other.seen, 15) + count_secrets(other.seen_xmm, 4);
        wait_ten_ms();  // it is inside again
    }
    line("nmis", other.nmis);
    line("nmis inside", at_aep);  // else it was on its way in
    line("secrets in nmis", secrets);
    line("intact after nmis", end_guard(1));
}

// An INIT takes its time to end a stay, and start-up messages are lost before. When it did so, ETRACK
// finds nobody inside any more who came before the one before.
bool end_stay_by_init(uint64_t number) {
    const auto track = [] { return encls(leaf(Encls::ETRACK), 0, epc_page(0), 0); };
    if (track() != 0 || track() == 0) return false;
    send(number, kInit);
    return wait_until([&] { return track() == 0; });
}

void try_init() {
    begin_guard(1);
    jobs[1].state = kIdle;
    line("stay ended", end_stay_by_init(1) ? 1 : 0);
    const uint64_t before = arrived.count;
    send(1, kStartup | kTrampoline >> 12);
    line("started again", wait_until([&] { return arrived.count != before; }) ? 1 : 0);
    line("secrets after init", count_secrets(arrived.registers, 4) + count_secrets(arrived.xmm, 4));
    gates[1].open = 1;
    begin(1, 0, 0, 1, kResume);
    line("intact after init", result_of(1));
}

void try_smi() {
    begin_guard(1);
    send(1, kSmi);
    wait_ten_ms();
    line("intact after smi", end_guard(1));
}

void try_contention() {
    prepare_contention();
    for (uint64_t number = 1; number < kProcessors; ++number)
        begin(number, 0, number, 1, kContend);
    contend(0);
    for (uint64_t number = 1; number < kProcessors; ++number)
        result_of(number);
    end_contention();
    line("intact after contention", enter(kSum));
}

uint64_t carry_out(const volatile Job& job, uint64_t tcs) {
    switch (job.kind) {
        case kEnter:
            return enter_at(tcs, job.command, job.argument);
        case kResume:
            return resume(tcs);
        case kContend:
            contend(job.argument);
            return 0;
        default:
            asm volatile("mov %0, %%cr3" ::"r"(job.argument) : "memory");
            print_text("went on\n");
            return 0;
    }
}

uint64_t start_processors(uint64_t count) {
    write_lapic(kSpurious, 0x1ff);
    for (const uint8_t* byte = trampoline; byte != trampoline_end; ++byte)
        reinterpret_cast<volatile uint8_t*>(kTrampoline)[byte - trampoline] = *byte;
    uint64_t started = 0;
    for (uint64_t number = 1; number < count; ++number)
        started += start_processor(number) ? 1 : 0;
    return started;
}

}  // namespace

void processor_main() {
    const uint64_t number = number_of_this();
    volatile Job& job = jobs[number];
    while (true) {
        while (job.state != kWanted)
            asm volatile("pause" ::: "memory");
        for (uint64_t i = 0; i < job.times; ++i)
            job.result = carry_out(job, tcs_of(number));
        job.state = kDone;
    }
}

void run_processors() {
    line("started", start_processors(kProcessors));
    try_together();
    try_nmi();
    try_init();
    try_smi();
    try_contention();
}

// Each goes through pages of its own, which are too many for their host's budget together. They begin alike,
// and so all have to come to the same.
void run_crowd() {
    constexpr uint64_t kPagesOfEach = 65;  // odd: each page is read and written by turns
    static_assert(kPagesOfEach * kProcessors <= kHeapPages);
    line("started", start_processors(kProcessors));
    build_heap(kPagesOfEach * kProcessors);
    uint64_t sweeps[kProcessors][4];
    for (uint64_t number = 0; number < kProcessors; ++number) {
        sweeps[number][0] = kEnclave + kHeap + number * kPagesOfEach * alcove::sgx::kPageSize;
        sweeps[number][1] = kPagesOfEach;
        sweeps[number][2] = 2 * kPagesOfEach;
        sweeps[number][3] = 0;
        if (number != 0) begin(number, kSweep, address(sweeps[number]));
    }
    line("swept", enter(kSweep, address(sweeps[0])));
    for (uint64_t number = 1; number < kProcessors; ++number)
        line("swept", result_of(number));
}

void load_epc_into_cr3() {
    line("started", start_processors(2));
    begin(1, 0, epc_address(1 + kDataPage), 1, kLoadCr3);
    for (int i = 0; i < 10; ++i)
        wait_ten_ms();
    line("carried out", jobs[1].state == kDone ? 1 : 0);
}

void send_smi() {
    send(0, kSmi);
}
