// SPDX-License-Identifier: Apache-2.0
//
// The configuration as JSON: in requests to the API, in its answers, and in alcoved's database.
//
//     {"epc": [{"size_mib": 8, "base": null, "node": 0}],
//      "backend": "auto", "sgx1": true, "sgx2": true,
//      "launch_control": {"hash": "acb77012...", "writable": true}, "provision_key": false,
//      "population": "static", "budget_mib": null, "key_root": "vm", "on_migrate": "drop"}
#pragma once

#include "codec/json.hpp"
#include "sgx/configuration.hpp"

namespace alcove::sgx {

codec::json::Json to_json(const Configuration& configuration);

// All but `epc` may be missing: as Configuration has it then. ErrorCode::JsonMalformed, InvalidArgument for
// an unknown field, MachineConfig for a word or hash that is none. What it says is not checked (check()).
Result<Configuration> parse_configuration(const codec::json::Json& json);

}  // namespace alcove::sgx
