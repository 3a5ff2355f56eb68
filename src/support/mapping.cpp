// SPDX-License-Identifier: Apache-2.0
#include "support/mapping.hpp"

#include <cerrno>

#include <sys/mman.h>

namespace alcove {

Result<Mapping> Mapping::map(uint64_t length, int protection, int flags, int fd, uint64_t offset) {
    if (length == 0) return Mapping();
    void* address = ::mmap(nullptr, length, protection, flags, fd, static_cast<off_t>(offset));
    if (address == MAP_FAILED)
        return fail_errno(errno, "mmap of " + std::to_string(length) + " bytes",
                          errno == ENOMEM ? ErrorCode::OutOfMemory : ErrorCode::SystemCall);
    return Mapping(static_cast<uint8_t*>(address), length);
}

// Without MAP_NORESERVE, mmap(2) would set aside a huge page for each that the file has not.
Result<Mapping> Mapping::read_only(const Fd& fd, uint64_t length, uint64_t offset) {
    return map(length, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd.get(), offset);
}

Result<Mapping> Mapping::shared(const Fd& fd, uint64_t length, uint64_t offset) {
    return map(length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), offset);
}

Result<Mapping> Mapping::shared_read_only(const Fd& fd, uint64_t length, uint64_t offset) {
    return map(length, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd.get(), offset);
}

Result<Mapping> Mapping::anonymous(uint64_t length) {
    return map(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void Mapping::reset() {
    if (data_ != nullptr) ::munmap(std::exchange(data_, nullptr), std::exchange(size_, 0));
}

namespace {

Result<void> populate(const uint8_t* data, size_t size, int advice) {
    if (size == 0 || ::madvise(const_cast<uint8_t*>(data), size, advice) == 0) return {};
    return fail_errno(errno, "populating a mapping of " + std::to_string(size) + " bytes",
                      errno == ENOMEM ? ErrorCode::OutOfMemory : ErrorCode::SystemCall);
}

}  // namespace

Result<void> populate_to_read(ByteView part) {
    return populate(part.data(), part.size(), MADV_POPULATE_READ);
}

Result<void> populate_to_write(MutableByteView part) {
    return populate(part.data(), part.size(), MADV_POPULATE_WRITE);
}

}  // namespace alcove
