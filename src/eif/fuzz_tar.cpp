// SPDX-License-Identifier: Apache-2.0
//
// What an image is built from: a foreign tar becomes a file tree, and every tree can be written as cpio; a
// kernel module is unpacked and read.
#include "eif/cpio.hpp"
#include "eif/kernel_module.hpp"
#include "eif/tar_source.hpp"
#include "support/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    using namespace alcove::eif;
    const ByteView bytes(data, size);
    (void)KernelModule::parse(bytes);

    const auto tree = tree_from_tar(bytes, {.content = 1_MiB});
    if (!tree) return 0;
    for (const auto& [path, file] : tree->files()) {
        const auto normal = FileTree::normalize(path);
        ALCOVE_CHECK(normal && *normal == path, "paths in a tree are normalized");
        (void)tree->resolve(path);
    }
    (void)write_cpio(*tree, [](ByteView) -> Result<void> { return {}; });
    return 0;
}
