// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "support/result.hpp"

namespace alcove::eif {

// What an image was to be built from can not be used: ErrorCode::ImageBuildInput.
inline Failure refuse(std::string message) {
    return fail(ErrorCode::ImageBuildInput, std::move(message));
}

}  // namespace alcove::eif
