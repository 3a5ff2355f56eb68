// SPDX-License-Identifier: Apache-2.0
//
// The kernel command line of an image: what it may consist of, and the one an image gets by default.
#pragma once

#include <string_view>

#include "support/result.hpp"

namespace alcove::eif {

// CommandLineInvalid for anything but printable ASCII, and for more than 2047 characters: a kernel would cut
// a longer one without a word, after it was measured whole.
Result<void> check_command_line(std::string_view command_line);

// As the reference builder's for x86-64 (no modules: AWS's kernels have none).
inline constexpr std::string_view kReferenceCommandLine =
    "reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd "
    "random.trust_cpu=on";

// The same for kernels that need modules to find their devices, as Debian's do.
inline constexpr std::string_view kModularCommandLine =
    "reboot=k panic=30 pci=off console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd "
    "random.trust_cpu=on";

}  // namespace alcove::eif
