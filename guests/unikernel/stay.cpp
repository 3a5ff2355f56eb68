// SPDX-License-Identifier: Apache-2.0
//
// With `stay` on its command line the unikernel runs code in its enclave until the machine ends. An enclave
// that is lost (its EPC was taken away) is told of, and built anew.
#include "unikernel/unikernel.hpp"

volatile uint64_t never;

namespace {
void enable_machine_checks() {
    constexpr uint64_t kMce = 1 << 6;
    constexpr uint32_t IA32_MC0_CTL = 0x400;
    asm volatile("mov %%cr4, %%rax; or %0, %%rax; mov %%rax, %%cr4" ::"r"(kMce) : "rax", "memory");
    wrmsr(IA32_MC0_CTL, ~uint64_t{0});
}
}  // namespace

void stay() {
    enable_machine_checks();
    for (uint64_t life = 1;; ++life) {
        build();
        enter(kAdd, 40);
        line("sum", enter(kAdd, 2));
        line("staying", life);
        enter(kSpin, address(&never));
        print_text("lost");
        print_exception();
        print_text("\n");
    }
}
