// SPDX-License-Identifier: Apache-2.0
//
// What the API says of SGX, of the host and of VMs, as text. Pure.
#pragma once

#include <string>

#include "codec/json.hpp"

namespace alcove::cli {

// "sgx" of GET /v1/host.
std::string render_sgx_host(const codec::json::Json& sgx);

// What POST /v1/vms/ID/sgx answers: "2 MiB of 4 MiB of EPC in memory", "2 MiB of 4 MiB of EPC asked for,
// ...".
std::string render_sgx_budget(const codec::json::Json& sgx);
std::string render_sgx_balloon(const codec::json::Json& sgx);

// Of each VM what GET /v1/vms/ID/sgx says, with its "id" and "name".
std::string render_sgx_list(const codec::json::Json& vms);

}  // namespace alcove::cli
