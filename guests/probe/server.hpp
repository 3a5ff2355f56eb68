// SPDX-License-Identifier: Apache-2.0
//
// Takes connections on a vsock port, a thread for each: what one command waits for must not keep another
// waiting. Connections beyond the limit are closed unanswered.
#pragma once

#include <cstdint>

#include "probe/service.hpp"

namespace alcove::probe {

constexpr uint32_t kProbePort = 6000;
constexpr unsigned kMostConnections = 512;

// Returns only when the listener fails. Connections that are being served go on, and read `surroundings`
// until the program ends.
Result<void> serve_all(const Fd& listener, const Surroundings& surroundings);

}  // namespace alcove::probe
