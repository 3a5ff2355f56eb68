// SPDX-License-Identifier: Apache-2.0
//
// Where EPC beyond its budget goes: a file on a disk, without a name, that its VM's VMM fills. It is gone
// when the last who has it is.
#pragma once

#include <cstdint>
#include <string>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

// In `folder`, which is made if need be; open for both, and with its space taken already, so that a full disk
// is an error of this call and not one that a running VM meets. ErrorCode::NoSpace, Unsupported (the folder
// is in memory, or its file system can not take space beforehand).
Result<Fd> make_spill_file(const std::string& folder, uint64_t bytes);

}  // namespace alcove::daemon
