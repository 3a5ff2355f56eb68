// SPDX-License-Identifier: Apache-2.0
//
// A primary VM's configuration file, in TOML:
//
//     name = "dev"
//     kernel = "debian"            # or a file
//     kernel_root = "/"            # where a package's kernel is
//     ramdisk = "initrd.img"       # or a list
//     disk = ["root.img", "data.img,readonly"]
//     net = "user"                 # or a list, as --net says
//     cpus = 2
//     memory = "2G"                # or MiB as a number
//     pages = "4k"
//     policy = "dedicated"
//     enclave_policy = "dedicated" # of the enclaves that it carves; its own without it
//     cmdline = "root=/dev/vda1 console=ttyS0"
//
//     [[enclave]]                  # starts with the VM, out of its cpus and memory; any number up to 4
//     image = "web.eif"
//     name = "web"
//     cpus = 2
//     memory = "256M"              # four times the image without it
//     policy = "dedicated"         # `enclave_policy` without it, or else the VM's own
//     debug = false
//     cid = 20
//
//     [sgx]                        # docs/sgx.md has all of it
//     launch_control = { hash = "acb77012...", writable = true }
//     key_root = "vm"
//     [[sgx.epc]]
//     size = 8                     # MiB, or "8M"
//
// Files are looked for beside the configuration. Unknown keys are refused.
#pragma once

#include <string_view>

#include "cli/invocation.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// What `command` leaves open is filled in from the text. `folder` is where its files are. ErrorCode::
// InvalidArgument with line or key.
Result<VmStart> apply_configuration(VmStart command, std::string_view text, const std::string& folder);

// Reads command.configuration, if there is one.
Result<VmStart> with_configuration(VmStart command);

}  // namespace alcove::cli
