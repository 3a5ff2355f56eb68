// SPDX-License-Identifier: Apache-2.0
//
// Rows as a table for eyes: columns as wide as their widest cell, two spaces between them. Pure.
#pragma once

#include <string>
#include <vector>

namespace alcove::cli {

// The first row is the heading. Rows may be shorter than it.
std::string render_table(const std::vector<std::vector<std::string>>& rows);

// Two columns without a heading, indented: names and what they are.
std::string render_fields(const std::vector<std::pair<std::string, std::string>>& fields, size_t indent = 0);

// "512 MiB", "2 GiB", "1.5 GiB".
std::string size_text(uint64_t bytes);

}  // namespace alcove::cli
