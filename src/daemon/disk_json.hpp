// SPDX-License-Identifier: Apache-2.0
//
// The disks of a primary VM as JSON: in the API's answers, and in the database.
#pragma once

#include <string_view>
#include <vector>

#include "codec/json.hpp"
#include "daemon/vm_record.hpp"

namespace alcove::daemon {

// [{"bytes": 1048576, "read_only": false, "serial": null}]
codec::json::Json to_json(const std::vector<DiskRecord>& disks);

// The way back. ErrorCode::JsonMalformed.
Result<std::vector<DiskRecord>> parse_disks(std::string_view text);

}  // namespace alcove::daemon
