// SPDX-License-Identifier: Apache-2.0
//
// Directories by descriptor: what is in one, and taking one away with all that is in it.
#pragma once

#include <string>
#include <vector>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::broker {

// Without "." and "..", in no order. The descriptor is open for reading.
Result<std::vector<std::string>> names_in(const Fd& directory);

// Removes `name` below `above`, also while others write into it: every step is by descriptor and follows no
// link. What is nested deeper than `depth` is left, and the directory with it.
Result<void> remove_tree(const Fd& above, const std::string& name, int depth);

}  // namespace alcove::broker
