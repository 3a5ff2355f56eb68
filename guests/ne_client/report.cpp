// SPDX-License-Identifier: Apache-2.0
#include "ne_client/report.hpp"

#include <cstdio>

namespace alcove::ne_client {

void Report::expect(bool condition, const char* what) {
    expect_equal(condition ? 1 : 0, 1, what);
}

void Report::expect_equal(long long got, long long wanted, const char* what) {
    if (got == wanted) return;
    ++failures_;
    std::printf("ne: FAILED %s: %s is %lld, wanted %lld\n", scenario_, what, got, wanted);
}

int Report::finish() const {
    if (failures_ == 0) std::printf("ne: ok %s\n", scenario_);
    return failures_ == 0 ? 0 : 1;
}

}  // namespace alcove::ne_client
