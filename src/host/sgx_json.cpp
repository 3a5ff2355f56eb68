// SPDX-License-Identifier: Apache-2.0
#include "host/sgx_json.hpp"

#include <utility>

#include <nlohmann/json.hpp>

namespace alcove::host {

using codec::json::Json;

Json to_json(const SgxHardware& hardware) {
    Json sections = Json::array();
    for (const auto& section : hardware.sections)
        sections.push_back({{"base", section.base},
                            {"size", section.size},
                            {"node", section.node ? Json(section.node->value) : Json(nullptr)}});
    return {{"present", hardware.present},
            {"sgx1", hardware.sgx1},
            {"sgx2", hardware.sgx2},
            {"launch_control", hardware.launch_control},
            {"enclave_device", hardware.enclave_device},
            {"virtual_epc_device", hardware.virtual_epc_device},
            {"sections", std::move(sections)}};
}

}  // namespace alcove::host
