// SPDX-License-Identifier: Apache-2.0
//
// The same file mapped again and again until a length is full: a large range of one content for little
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove {

class RepeatedMapping {
  public:
    // Read-only. Whole pages; the last repetition may be a part.
    static Result<RepeatedMapping> create(const Fd& file, uint64_t file_size, uint64_t length);

    RepeatedMapping(RepeatedMapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    RepeatedMapping& operator=(RepeatedMapping&&) = delete;
    RepeatedMapping(const RepeatedMapping&) = delete;
    RepeatedMapping& operator=(const RepeatedMapping&) = delete;
    ~RepeatedMapping();

    const uint8_t* data() const { return data_; }
    size_t size() const { return size_; }

  private:
    RepeatedMapping(uint8_t* data, size_t size) : data_(data), size_(size) {}

    uint8_t* data_;
    size_t size_;
};

}  // namespace alcove
