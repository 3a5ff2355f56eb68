// SPDX-License-Identifier: Apache-2.0
//
// The bodies of POST /v1/enclaves and POST /v1/vms: whatever a client sends is refused with an error that can
// be shown, or is within the ranges that the types of the request promise.
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "daemon/api_json.hpp"
#include "daemon/launch_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    for (const auto role : {api::VmRole::Enclave, api::VmRole::Primary}) {
        const auto body = daemon::parse_launch_body(as_text({data, size}), role);
        if (!body) {
            const auto text = codec::json::dump(daemon::error_json(body.error()));
            if (!codec::json::parse(text)) std::abort();
            continue;
        }
        const bool two_images = !body->image.token.empty() && !body->image.disk.empty();
        if (two_images || body->memory_mib > UINT64_MAX >> 20) std::abort();
        const bool of_a_primary = !body->disks.empty() || !body->provisioned.empty();
        if (role == api::VmRole::Enclave && of_a_primary) std::abort();
        for (const auto& enclave : body->provisioned)
            if (enclave.memory_mib > UINT64_MAX >> 20 || !enclave.provisioned.empty()) std::abort();
    }
    return 0;
}
