// SPDX-License-Identifier: Apache-2.0
//
// An enclave's init keeps its clock with the host's. Here the clock is set wrong, for it to be seen set
// right.
#pragma once

#include <chrono>
#include <optional>

#include "support/result.hpp"

namespace alcove::probe {

// Steps CLOCK_REALTIME forwards by `step`, at least a second, and waits until somebody has stepped it back:
// how long that took. Nothing when `patience` was over before; then it is put back here.
Result<std::optional<std::chrono::milliseconds>> time_until_put_right(std::chrono::milliseconds step,
                                                                      std::chrono::milliseconds patience);

}  // namespace alcove::probe
