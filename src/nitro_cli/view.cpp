// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/view.hpp"

#include <nlohmann/json.hpp>

namespace alcove::nitro_cli {

namespace {

const char* state_name(State state) {
    switch (state) {
        case State::Running:
            return "RUNNING";
        case State::Terminating:
            return "TERMINATING";
        case State::Empty:
            break;
    }
    return "EMPTY";
}

}  // namespace

Json run_json(const EnclaveView& enclave) {
    Json object = Json::object();
    object["EnclaveName"] = enclave.name;
    object["EnclaveID"] = enclave.id;
    object["ProcessID"] = enclave.process_id;
    object["EnclaveCID"] = enclave.cid;
    object["NumberOfCPUs"] = enclave.cpu_count;
    object["CPUIDs"] = enclave.cpu_ids;
    object["MemoryMiB"] = enclave.memory_mib;
    return object;
}

Json describe_json(const EnclaveView& enclave, const Json& image, Metadata metadata) {
    Json object = run_json(enclave);
    object["State"] = state_name(enclave.state);
    object["Flags"] = enclave.debug ? "DEBUG_MODE" : "NONE";
    const auto take = [&](const char* field) {
        const auto found = image.find(field);
        if (found != image.end()) object[field] = *found;
    };
    take("Measurements");
    if (metadata == Metadata::Show)
        for (const char* field : {"ImageName", "ImageVersion", "Metadata"})
            take(field);
    return object;
}

Json terminate_json(const std::string& name, const std::string& id) {
    Json object = Json::object();
    object["EnclaveName"] = name;
    object["EnclaveID"] = id;
    object["Terminated"] = true;
    return object;
}

}  // namespace alcove::nitro_cli
