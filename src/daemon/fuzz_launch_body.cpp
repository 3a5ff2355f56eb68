// SPDX-License-Identifier: Apache-2.0
//
// The body of POST /v1/enclaves: whatever a client sends is refused with an error that can be shown, or is
// within the ranges that the types of the request promise.
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "daemon/api_json.hpp"
#include "daemon/launch_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    const auto body = daemon::parse_launch_body(as_text({data, size}));
    if (!body) {
        const auto text = codec::json::dump(daemon::error_json(body.error()));
        if (!codec::json::parse(text)) std::abort();
        return 0;
    }
    const bool two_images = !body->image_token.empty() && !body->image_disk.empty();
    if (two_images || body->memory_mib > UINT64_MAX >> 20) std::abort();
    return 0;
}
