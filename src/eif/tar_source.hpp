// SPDX-License-Identifier: Apache-2.0
//
// An application's files from a tar archive (v7, ustar, pax, GNU), plain or compressed with gzip, bzip2, xz
// or zstd: what `docker export` and `tar c` make. Later entries replace earlier ones. Owners, times and
// extended attributes (file capabilities among them) are not kept.
//
// The archive is foreign: names that are absolute or climb, entries below something that is no directory,
// links to what is not there, a set-user-ID file that is not root's, and an archive that ends inside an entry
// are ImageBuildInput, as is more content than allowed.
#pragma once

#include <cstdint>

#include "eif/file_tree.hpp"
#include "support/bits.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct TarLimits {
    uint64_t content = 8_GiB;  // bytes, unpacked; they are held in memory
};

// Reads `tar` from its offset to its end; a pipe will do.
Result<FileTree> tree_from_tar(const Fd& tar, const TarLimits& limits = {});
Result<FileTree> tree_from_tar(ByteView tar, const TarLimits& limits = {});

}  // namespace alcove::eif
