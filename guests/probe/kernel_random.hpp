// SPDX-License-Identifier: Apache-2.0
//
// The kernel's nsm driver offers the module's GetRandom as a source of its own, "nsm-hwrng". It parses the
// replies by hand, so a reply that a CBOR reader takes may still be none to it.
#pragma once

#include "probe/nsm_checks.hpp"

namespace alcove::probe {

// "hwrng". Makes it the current source for the check and puts back what was.
CheckResult check_kernel_random();

}  // namespace alcove::probe
