// SPDX-License-Identifier: Apache-2.0
#include "support/repeated_mapping.hpp"

#include <algorithm>
#include <cerrno>

#include <sys/mman.h>

namespace alcove {

Result<RepeatedMapping> RepeatedMapping::create(const Fd& file, uint64_t file_size, uint64_t length) {
    void* room = ::mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return fail_errno(errno, "mmap");
    RepeatedMapping mapping(static_cast<uint8_t*>(room), length);
    for (uint64_t done = 0; done < length; done += file_size) {
        const uint64_t part = std::min(file_size, length - done);
        void* there = ::mmap(mapping.data_ + done, part, PROT_READ, MAP_SHARED | MAP_FIXED, file.get(), 0);
        if (there == MAP_FAILED) return fail_errno(errno, "mmap");
    }
    return mapping;
}

RepeatedMapping::~RepeatedMapping() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace alcove
