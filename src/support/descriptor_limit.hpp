// SPDX-License-Identifier: Apache-2.0
//
// For programs that hold a handful of descriptors for each VM: as many as the system lets this process have.
#pragma once

#include "support/result.hpp"

namespace alcove {

Result<void> raise_descriptor_limit();

}  // namespace alcove
