// SPDX-License-Identifier: Apache-2.0
//
// The rules of nitro.md 1.4 to 1.13 that need little memory of earlier commands: what a request says, judged
// against what the primary is, and what is carved out of it. A primary's VMM applies them before it parks a
// vCPU for nonsense; alcoved applies them whatever the VMM did.
//
// All give 0, or the errno (positive) that refuses the request.
#pragma once

#include <cstdint>

#include "ne/carved_map.hpp"
#include "ne/parent.hpp"

namespace alcove::ne {

// EINVAL: empty, wraps, not whole granules, not inside one range of RAM (MMIO and holes are not RAM).
int check_region(const Parent& parent, uint64_t paddr, uint64_t size);

// The same, and EBUSY: some of it is carved already. ENOSPC: RAM would come to lie in too many pieces.
int check_new_region(const Parent& parent, const CarvedMap& carved, SlotUid slot, uint64_t paddr,
                     uint64_t size);

// EINVAL: no such vCPU. EBUSY: vCPU 0 or a sibling of it, which the parent keeps, as the driver does
// (nitro.md 1.10, 4. and 5.): so it never gives away its last core.
int check_vcpu(const Parent& parent, uint64_t id);

// EINVAL: a CID that no enclave may have. 0, which asks for a choice, is fine. 1 and 2 are the local and the
// host's own (VIRTIO 1.2, 5.10.4), 3 is the parent, all ones means any, and there are 32 bits.
int check_start_cid(uint64_t enclave_cid);

// EINVAL: a bit that is not known.
int check_start_flags(uint64_t flags);

// Where the choice of CIDs begins, as AWS's does.
inline constexpr Cid kFirstChosenCid{16};

}  // namespace alcove::ne
