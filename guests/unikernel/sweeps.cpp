// SPDX-License-Identifier: Apache-2.0
//
// With `sweep` on its command line the unikernel's enclave goes through nearly all of 2 MiB of EPC, in order
// and in random order, every other visit writing its page. Between two marks is one sweep. With `hold` it
// goes through them once, and then runs on with all of them mapped.
#include "unikernel/unikernel.hpp"

namespace {

constexpr uint64_t kVisits = 2 * kHeapPages;

struct Sweep {  // enclave.S
    uint64_t base, pages, visits, random;
};

void sweep(const char* name, bool random) {
    Sweep wanted{
        .base = kEnclave + kHeap, .pages = kHeapPages, .visits = kVisits, .random = random ? uint64_t{1} : 0};
    enter(kSweep, address(&wanted));
    mark();
    const uint64_t begin = read_tsc();
    enter(kSweep, address(&wanted));
    line(name, read_tsc() - begin);
    mark();
}

}  // namespace

void run_sweeps() {
    build_heap();
    line("visits", kVisits);
    sweep("sequential", false);
    sweep("random", true);
}

void hold() {
    build_heap();
    Sweep wanted{.base = kEnclave + kHeap, .pages = kHeapPages, .visits = kHeapPages, .random = 0};
    enter(kSweep, address(&wanted));
    line("holding", kHeapPages);
    enter(kSpin, address(&never));
}
