// SPDX-License-Identifier: Apache-2.0
//
// A JSON tree for eyes, and parts of it by path. Pure.
#pragma once

#include <string>

#include "codec/json.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// The part at "counters.kvm_runs"; names or positions between dots. ErrorCode::NotFound says what there is.
Result<const codec::json::Json*> find_part(const codec::json::Json& tree, const std::string& path);

// One line a leaf, indented by depth; null is "-".
std::string render_tree(const codec::json::Json& tree);

}  // namespace alcove::cli
