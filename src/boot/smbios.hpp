// SPDX-License-Identifier: Apache-2.0
//
// The SMBIOS tables of a primary VM: BIOS, system, board. They exist for the board's asset tag, by which
// programs inside learn the VM's id (nitro-cli makes enclave ids of it), and which attestation documents
// repeat.
#pragma once

#include <cstdint>

#include "boot/platform.hpp"
#include "support/bytes.hpp"

namespace alcove::boot {

// For placing at `base`, entry point first: below 1 MiB, from f_0000 on and at a multiple of 16, where
// kernels without EFI look (DSP0134, 5.2).
Bytes build_smbios(const SystemIdentity& identity, uint64_t base);

}  // namespace alcove::boot
