// SPDX-License-Identifier: Apache-2.0
#include "sandbox/process.hpp"

#include <cerrno>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace alcove::sandbox {

Result<void> harden_process() {
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_DUMPABLE");
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    if (::setrlimit(RLIMIT_CORE, &none) < 0) return fail_errno(errno, "RLIMIT_CORE");
    return {};
}

}  // namespace alcove::sandbox
