// SPDX-License-Identifier: Apache-2.0
//
// With `time` on its command line the unikernel says how long things take, in cycles of the processor's own
// clock: what an exit to user space costs, and in comparison a leaf without cryptography (EPA and EREMOVE in
// turns), a leaf that finds nothing to do (EBLOCK), and half an ecall. With `compute`: one computation
// outside of the enclave and inside. Everything has been done once before, so that all page tables are warm.
#include "unikernel/unikernel.hpp"

using alcove::sgx::Encls;
using alcove::sgx::PageType;

namespace {

constexpr uint64_t kTimes = 200;
constexpr uint64_t kSparePage = 400;                 // of the EPC
constexpr uint64_t kFewRounds = 1'000'000;           // of computing
constexpr uint64_t kLongCycles = uint64_t{1} << 32;  // a second or more

template <typename Work>
uint64_t cycles_of(Work work) {
    const uint64_t begin = read_tsc();
    work();
    return read_tsc() - begin;
}

uint64_t time_exits() {
    constexpr uint16_t kUnclaimedPort = 0x80;
    return cycles_of([] {
        for (uint64_t i = 0; i < kTimes; ++i)
            asm volatile("outb %%al, %0" ::"N"(kUnclaimedPort));
    });
}

uint64_t time_leaves() {
    return cycles_of([] {
        for (uint64_t i = 0; i < kTimes / 2; ++i) {
            encls(leaf(Encls::EPA), static_cast<uint64_t>(PageType::VA), epc_page(kSparePage), 0);
            encls(leaf(Encls::EREMOVE), 0, epc_page(kSparePage), 0);
        }
    });
}

uint64_t time_idle_leaves() {
    return cycles_of([] {
        for (uint64_t i = 0; i < kTimes; ++i)
            encls(leaf(Encls::EBLOCK), 0, epc_page(kSparePage), 0);
    });
}

uint64_t time_half_ecalls() {
    return cycles_of([] {
        for (uint64_t i = 0; i < kTimes / 2; ++i)
            enter(kNothing);
    });
}

void time_switches() {
    line("exits", time_exits());
    line("leaves", time_leaves());
    line("idle leaves", time_idle_leaves());
    line("half ecalls", time_half_ecalls());
}

}  // namespace

void run_timing() {
    line("times", kTimes);
    time_switches();
    time_switches();  // these count: a reader takes the last
}

void run_computing() {
    const auto outside = [](uint64_t rounds) {
        return cycles_of([&] { run_outside(compute_rounds, rounds); });
    };
    outside(kFewRounds);
    enter(kCompute, kFewRounds);
    const uint64_t rounds = kFewRounds * (kLongCycles / outside(kFewRounds));
    line("compute outside", outside(rounds));
    report("compute inside", cycles_of([&] { enter(kCompute, rounds); }));
}
