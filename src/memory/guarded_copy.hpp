// SPDX-License-Identifier: Apache-2.0
//
// Copies out of a mapping of a file that others may change at any moment: a page that cannot be had (SIGBUS:
// the file is shorter now, or was punched and there is no page for it) is an error of the copy, not the end
// of the process.
//
// The first copy installs a handler of SIGBUS for the process; one that comes from elsewhere still ends it.
#pragma once

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::memory {

// Both are of one size. After an error (ErrorCode::SystemCall, EFAULT) a part may have been copied.
Result<void> guarded_copy(MutableByteView into, ByteView from);

}  // namespace alcove::memory
