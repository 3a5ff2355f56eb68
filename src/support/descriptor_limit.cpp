// SPDX-License-Identifier: Apache-2.0
#include "support/descriptor_limit.hpp"

#include <cerrno>

#include <sys/resource.h>

namespace alcove {

Result<void> raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno(errno, "getrlimit(RLIMIT_NOFILE)");
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno(errno, "setrlimit(RLIMIT_NOFILE)");
    return {};
}

}  // namespace alcove
