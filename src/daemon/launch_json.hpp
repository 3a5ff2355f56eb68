// SPDX-License-Identifier: Apache-2.0
//
// The body of POST /v1/enclaves, checked for form: fields that are missing, of another kind or unknown are
// refused. Whether the values can be met is the supervisor's to say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "host/units.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

struct LaunchBody {
    std::string name;
    std::string image_token;  // or
    std::string image_disk;   // with
    uint64_t image_bytes = 0;
    uint32_t vcpus = 0;
    uint64_t memory_mib = 0;
    host::PageSize pages = host::PageSize::Size4K;
    host::CpuPolicy policy = host::CpuPolicy::Dedicated;
    bool debug = false;
    std::optional<uint64_t> cid;
};

// ErrorCode::JsonMalformed or InvalidArgument, with the field's name.
Result<LaunchBody> parse_launch_body(std::string_view text);

}  // namespace alcove::daemon
