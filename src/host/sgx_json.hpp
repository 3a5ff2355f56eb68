// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codec/json.hpp"
#include "host/sgx.hpp"

namespace alcove::host {

// What the processor has and which devices there are, without the nodes.
codec::json::Json to_json(const SgxHardware& hardware);

}  // namespace alcove::host
