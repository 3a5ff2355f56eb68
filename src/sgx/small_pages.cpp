// SPDX-License-Identifier: Apache-2.0
#include "sgx/small_pages.hpp"

#include <cerrno>

#include <sys/mman.h>

namespace alcove::sgx {

Result<void> use_small_pages(const Mapping& mapping) {
    // EINVAL: a kernel that has no others.
    if (::madvise(mapping.data(), mapping.size(), MADV_NOHUGEPAGE) == 0 || errno == EINVAL) return {};
    return fail_errno(errno, "madvise of EPC");
}

}  // namespace alcove::sgx
