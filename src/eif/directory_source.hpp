// SPDX-License-Identifier: Apache-2.0
//
// An application's files from a directory. Symlinks are taken as they are and never followed; content is
// read later, when the archive is written.
//
// The tree stands for one that root owns. A set-user-ID or set-group-ID file is taken when it belongs to
// root or to whoever builds the image; one of somebody else would become root's by the way, and is refused.
#pragma once

#include <string>

#include "eif/file_tree.hpp"
#include "support/result.hpp"

namespace alcove::eif {

// ImageBuildInput when it is no directory, holds a socket, or something in it can not be read.
Result<FileTree> tree_from_directory(const std::string& directory);

}  // namespace alcove::eif
