// SPDX-License-Identifier: Apache-2.0
//
// For tests: the smallest ELF that is a kernel module as far as we look.
#pragma once

#include <string_view>

#include "support/bytes.hpp"

namespace alcove::eif {

// `information` is the content of .modinfo: "key=value" strings, each with its zero.
Bytes raw_module(std::string_view information);
// With a name and a list like "a,b".
Bytes raw_module(std::string_view name, std::string_view depends);
Bytes xz_compressed(const Bytes& data);

}  // namespace alcove::eif
