// SPDX-License-Identifier: Apache-2.0
//
// The image of a launch request, or a disk, as an open descriptor whose size is known. They come as
// descriptors that the client opened; only inside the embedded host, where every user is the same one, may
// one be named: by the serial number of a virtio disk that the host attached for it.
#pragma once

#include <cstdint>
#include <string>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

struct ImageSource {
    Fd descriptor;
    uint64_t bytes = 0;
};

enum class FileUse { ReadOnly, ReadWrite };

// ErrorCode::InvalidArgument unless it is a regular file or a block device open for reading.
Result<ImageSource> image_from_descriptor(Fd descriptor);

// The disk with this serial number. `bytes` of it are the image. ErrorCode::NotFound when there is none,
// InvalidArgument when it is writable or smaller. `sys_block` and `dev` are other directories in tests.
Result<ImageSource> image_from_disk(const std::string& serial, uint64_t bytes,
                                    const std::string& sys_block = "/sys/block",
                                    const std::string& dev = "/dev");

// A VM's disk: the descriptor has to be open for exactly this use, for what it is open for is what the
// guest can do.
Result<ImageSource> disk_from_descriptor(Fd descriptor, FileUse use);
Result<ImageSource> disk_from_attached(const std::string& serial, uint64_t bytes, FileUse use,
                                       const std::string& sys_block = "/sys/block",
                                       const std::string& dev = "/dev");

}  // namespace alcove::daemon
