// SPDX-License-Identifier: Apache-2.0
//
// A memory mapping that unmaps itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove {

class Mapping {
  public:
    // Of a file, a mapping sets no memory aside: the pages that the file has not come when they are touched,
    // and a huge one that the host has not then ends the process. PROT_READ, MAP_PRIVATE: a file to read. An
    // empty file gives an empty mapping.
    static Result<Mapping> read_only(const Fd& fd, uint64_t length, uint64_t offset = 0);
    // PROT_READ | PROT_WRITE, MAP_SHARED: memory several processes or a VM look at.
    static Result<Mapping> shared(const Fd& fd, uint64_t length, uint64_t offset = 0);
    static Result<Mapping> shared_read_only(const Fd& fd, uint64_t length, uint64_t offset = 0);
    static Result<Mapping> anonymous(uint64_t length);

    Mapping() = default;
    Mapping(Mapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        if (this != &other) {
            reset();
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() { reset(); }

    uint8_t* data() const { return data_; }
    size_t size() const { return size_; }
    ByteView bytes() const { return {data_, size_}; }
    MutableByteView mutable_bytes() const { return {data_, size_}; }
    void reset();

  private:
    static Result<Mapping> map(uint64_t length, int protection, int flags, int fd, uint64_t offset);
    Mapping(uint8_t* data, size_t size) : data_(data), size_(size) {}

    uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

// The kernel maps every page of a part of a mapping now (madvise(2), MADV_POPULATE_READ and _WRITE), not at
// its first touch; one that cannot be had is an error here.
Result<void> populate_to_read(ByteView part);
Result<void> populate_to_write(MutableByteView part);

}  // namespace alcove
