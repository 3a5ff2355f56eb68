// SPDX-License-Identifier: Apache-2.0
//
// The kernel's sources of randomness, each read through /dev/hwrng. The nsm driver offers the module's
// GetRandom as "nsm-hwrng" and parses the replies by hand, so a reply that a CBOR reader takes may still be
// none to it; the virtio device's is "virtio_rng.<n>".
#pragma once

#include <vector>

#include "probe/nsm_checks.hpp"

namespace alcove::probe {

// "hwrng", "virtio_rng". Each makes its source the current one for the check and puts back what was.
std::vector<CheckResult> check_kernel_random();

}  // namespace alcove::probe
