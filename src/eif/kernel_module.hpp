// SPDX-License-Identifier: Apache-2.0
//
// One kernel module file: unpacked, and what its .modinfo section says.
//
// Modules go into images unpacked, although Debian's kernel could unpack them itself (it has
// CONFIG_MODULE_DECOMPRESS): the seven that an enclave needs are 380 KiB instead of 70, but they load with a
// tenth fewer guest instructions, kernels without that option load them too, and a compressed ramdisk
// compresses them anyway. The bytes are the ones that were signed, so the signature behind them holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct KernelModule {
    std::string name;                  // with '_', as the kernel spells it
    std::vector<std::string> depends;  // names
    Bytes content;                     // the ELF file

    // `file` as it is on disk, compressed with xz, gzip or zstd or not. ImageBuildInput when it is no x86-64
    // module.
    static Result<KernelModule> parse(ByteView file);
};

// "vmw-vsock" and "vmw_vsock" are one module.
std::string module_name(std::string_view name);

}  // namespace alcove::eif
