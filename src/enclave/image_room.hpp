// SPDX-License-Identifier: Apache-2.0
//
// Where the memory of a carved enclave makes room for its image. The image is copied out of that memory and
// has the host's pages that it had there, so until the VMM has loaded it, as many are missing in the memory:
// in a part that the loader does not come to (boot/loader.hpp), between the kernel at the beginning and the
// ramdisks before the end or 2 GiB.
//
// An image of more than a quarter of that (nitro-cli starts none) has no such part; it is beside the memory
// until it is loaded.
#pragma once

#include <algorithm>
#include <optional>

#include "memory/page_mover.hpp"
#include "support/bits.hpp"

namespace alcove::enclave {

// Bytes, all of them. The room is whole pages of either size.
inline std::optional<memory::FileRange> room_for_image(uint64_t image, uint64_t memory) {
    constexpr uint64_t kUnit = 2_MiB;
    const uint64_t reach = align_down<uint64_t>(std::min<uint64_t>(memory, 2_GiB), kUnit);
    const uint64_t room = align_up<uint64_t>(image, kUnit);
    if (room > reach / 4) return std::nullopt;
    return memory::FileRange{.offset = reach - 2 * room, .length = room};
}

}  // namespace alcove::enclave
