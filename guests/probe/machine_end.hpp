// SPDX-License-Identifier: Apache-2.0
//
// Ways to end the machine from inside other than the application's end. Both return only when the kernel
// refuses.
#pragma once

#include "support/result.hpp"

namespace alcove::probe {

Result<void> panic_machine();  // sysrq `c`
Result<void> power_off_machine();

}  // namespace alcove::probe
