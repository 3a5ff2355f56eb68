// SPDX-License-Identifier: Apache-2.0
//
// Writes a file tree as a cpio archive of the "newc" form, the one Linux unpacks as an initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst). The same tree gives the same bytes: owner 0,
// time 0, inode numbers counted from 1, order of the paths.
#pragma once

#include "eif/file_tree.hpp"
#include "eif/sink.hpp"
#include "support/result.hpp"

namespace alcove::eif {

// ImageBuildInput when a file of the disk changed meanwhile, is larger than 4 GiB, or a link's target is too
// long for the kernel.
Result<void> write_cpio(const FileTree& tree, const Sink& output);

}  // namespace alcove::eif
