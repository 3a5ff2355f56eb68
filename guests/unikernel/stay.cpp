// SPDX-License-Identifier: Apache-2.0
//
// With `stay` on its command line the unikernel runs code in its enclave until the machine ends. An enclave
// that is lost (its EPC was taken away) is told of, and built anew.
#include "unikernel/unikernel.hpp"

namespace {
volatile uint64_t never;
}

void stay() {
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
