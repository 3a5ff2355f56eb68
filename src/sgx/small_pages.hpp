// SPDX-License-Identifier: Apache-2.0
//
// A file in memory may be backed by pages of 2 MiB where the host is set so. EPC with a budget must not be:
// the first page that is touched would bring 511 others with it, which no budget knows of.
#pragma once

#include "support/mapping.hpp"
#include "support/result.hpp"

namespace alcove::sgx {

// For what is touched through this mapping from now on (madvise(2), MADV_NOHUGEPAGE).
Result<void> use_small_pages(const Mapping& mapping);

}  // namespace alcove::sgx
