// SPDX-License-Identifier: Apache-2.0
//
// The networks of a primary VM: as JSON, in the API's answers and in the database, and their addresses.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/json.hpp"
#include "daemon/vm_record.hpp"

namespace alcove::daemon {

// [{"kind": "tap", "mac": "02:1f:5c:00:aa:01"}]
codec::json::Json to_json(const std::vector<NetworkRecord>& networks);

// The way back. ErrorCode::JsonMalformed or InvalidArgument.
Result<std::vector<NetworkRecord>> parse_networks(std::string_view text);

Result<api::NetworkKind> parse_network_kind(std::string_view text);  // "tap", "stream"

// Six bytes in hexadecimal, with colons. ErrorCode::InvalidArgument for another form, and for an address that
// is no single machine's.
Result<api::MacAddress> parse_mac(std::string_view text);
std::string mac_text(const api::MacAddress& mac);

// The address of a VM's n-th network when none was given: always the same, locally administered.
api::MacAddress mac_of(const std::string& vm_id, size_t index);

}  // namespace alcove::daemon
