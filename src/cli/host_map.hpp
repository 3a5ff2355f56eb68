// SPDX-License-Identifier: Apache-2.0
//
// A picture of the host by owner: each core, memory as bars, EPC. What a primary VM has given to its enclaves
// stands below it. Pure.
#pragma once

#include <string>

#include "codec/json.hpp"

namespace alcove::cli {

// Of GET /v1/host, /v1/vms and /v1/enclaves: {"cores": [{"core", "node", "cpus", "owner", "name", "parent"}],
// "memory": [{"owner", "name", "parent", "bytes", "pages"}], "epc": [...]}. Owners are "host", "free", or
// ids; an enclave follows its primary VM.
codec::json::Json host_map(const codec::json::Json& host, const codec::json::Json& vms,
                           const codec::json::Json& enclaves);

// `width`: columns of the terminal; bars take what is left of them.
std::string render_host_map(const codec::json::Json& map, size_t width = 80);

}  // namespace alcove::cli
