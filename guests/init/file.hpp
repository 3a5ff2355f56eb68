// SPDX-License-Identifier: Apache-2.0
//
// Opening and reading files, with as little code as init can do with: what the host programs use for this
// brings the standard library's file system and locale code along, twice init's size.
#pragma once

#include <string>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::init {

// Close-on-exec.
Result<Fd> open_file(const std::string& path, int flags);

// The whole content. More than `limit` bytes is ErrorCode::LimitExceeded.
Result<std::string> read_file(const std::string& path, size_t limit);

}  // namespace alcove::init
