// SPDX-License-Identifier: Apache-2.0
//
// Where a stream of bytes goes: archives are written through compression into an image without ever lying
// in memory whole.
#pragma once

#include <functional>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

using Sink = std::function<Result<void>(ByteView)>;

}  // namespace alcove::eif
