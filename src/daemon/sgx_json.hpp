// SPDX-License-Identifier: Apache-2.0
//
// The SGX of a running VM, and of the host, as the API tells it. What was asked for is
// sgx/configuration_json.hpp's.
#pragma once

#include <optional>
#include <string>

#include "api/sgx_messages.hpp"
#include "codec/json.hpp"
#include "host/ledger.hpp"
#include "host/sgx.hpp"
#include "sgx/configuration.hpp"

namespace alcove::daemon {

// What one VM has, or why its VMM did not say.
struct SgxView {
    sgx::Configuration configuration;
    std::optional<api::vmm::SgxState> state;
    std::string missing;
};
SgxView sgx_view(const sgx::Configuration& configuration, Result<api::vmm::SgxState> state);
codec::json::Json to_json(const SgxView& view);

// The body of POST /v1/vms/ID/sgx: {"budget_mib": 4} or {"balloon_mib": 4}, not both.
// ErrorCode::JsonMalformed or InvalidArgument.
struct SgxChange {
    std::optional<uint64_t> budget_mib{};
    std::optional<uint64_t> balloon_mib{};
};
Result<SgxChange> parse_sgx_change(std::string_view text);

// What the host's processors have, and how much of its memory is EPC of VMs and may be.
codec::json::Json to_json(const host::SgxHardware& hardware, const std::vector<host::NodeAccount>& account);

// The configuration of a VM in the database: "" of one without SGX. ErrorCode::JsonMalformed and the like.
std::string stored_text(const std::optional<sgx::Configuration>& configuration);
Result<std::optional<sgx::Configuration>> parse_stored(const std::string& text);

}  // namespace alcove::daemon
