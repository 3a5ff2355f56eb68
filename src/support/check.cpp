// SPDX-License-Identifier: Apache-2.0
#include "support/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace alcove {

void check_failed(const char* condition, const char* expected, const char* file, int line) {
    std::fprintf(stderr, "alcove: broken invariant at %s:%d: %s (%s)\n", file, line, expected, condition);
    std::abort();
}

}  // namespace alcove
