// SPDX-License-Identifier: Apache-2.0
//
// Loads kernel modules by finit_module(2). There is no dependency resolution: whoever built the image put the
// list in order. Modules may be compressed if the kernel can unpack them (Debian's can:
// CONFIG_MODULE_DECOMPRESS).
#pragma once

#include <vector>

#include "init/configuration.hpp"
#include "support/result.hpp"

namespace alcove::init {

// Loads in the order given and removes each file, whose memory the initramfs would keep for ever. A module
// that is loaded already or built in counts as loaded.
Result<void> load_modules(const std::vector<Module>& modules);

}  // namespace alcove::init
