// SPDX-License-Identifier: Apache-2.0
//
// The JSON of this tool, field by field as AWS's nitro-cli prints it (nitro.md 5.1). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codec/json.hpp"

namespace alcove::nitro_cli {

using codec::json::Json;

enum class State { Empty, Running, Terminating };

struct EnclaveView {
    std::string name;
    std::string id;
    uint64_t process_id = 0;
    uint64_t cid = 0;
    uint64_t cpu_count = 0;
    std::vector<uint32_t> cpu_ids;
    uint64_t memory_mib = 0;
    State state = State::Empty;
    bool debug = false;
};

Json run_json(const EnclaveView& enclave);
// `image` is what describe-eif says of the enclave's image, or as much of it as is known.
enum class Metadata { Leave, Show };
Json describe_json(const EnclaveView& enclave, const Json& image, Metadata metadata);
Json terminate_json(const std::string& name, const std::string& id);

}  // namespace alcove::nitro_cli
