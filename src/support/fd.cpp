// SPDX-License-Identifier: Apache-2.0
#include "support/fd.hpp"

#include <unistd.h>

namespace alcove {

void Fd::reset() {
    // EINTR from close() leaves the descriptor closed on Linux, so there is nothing to repeat, and a
    // failing close() has nobody to tell: data that matters is fsynced before.
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace alcove
