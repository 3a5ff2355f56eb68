// SPDX-License-Identifier: Apache-2.0
//
// How a device says that the guest has ended its own life. Called on a vCPU's thread; the first call counts.
#pragma once

#include <functional>

#include "api/stop_reason.hpp"

namespace alcove::chipset {

using EndHandler = std::function<void(api::StopReason)>;

}  // namespace alcove::chipset
