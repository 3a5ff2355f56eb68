// SPDX-License-Identifier: Apache-2.0
//
// The file systems that a Linux program expects, and the change of root from the initramfs to /rootfs.
#pragma once

#include "support/result.hpp"

namespace alcove::init {

// /dev, /proc and /sys: what init itself needs for console, modules and clock.
Result<void> mount_early();

// Makes /rootfs the root, with the early mounts moved along. An image without /rootfs stays in the initramfs.
Result<void> enter_root();

// /tmp, /run, /dev/shm, /dev/pts and cgroup2, in the root of the application. A file system that the
// kernel was built without is left out.
Result<void> mount_late();

}  // namespace alcove::init
