// SPDX-License-Identifier: Apache-2.0
//
// Memory for an enclave: huge pages of this machine, each a mapping of its own, the largest first, because
// an enclave can have only so many pieces.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "support/bits.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::ne_driver {

// All that some Linux has, descending; x86-64 has 1 GiB and 2 MiB.
inline constexpr std::array<uint64_t, 9> kHugePageSizes{16_GiB, 2_GiB,  1_GiB, 512_MiB, 256_MiB,
                                                        32_MiB, 16_MiB, 8_MiB, 2_MiB};

// One mapping that unmaps itself.
class HugePage {
  public:
    // Takes the mapping over.
    HugePage(void* data, uint64_t size) : data_(static_cast<uint8_t*>(data)), size_(size) {}
    HugePage(HugePage&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    HugePage& operator=(HugePage&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    HugePage(const HugePage&) = delete;
    HugePage& operator=(const HugePage&) = delete;
    ~HugePage();

    uint64_t size() const { return size_; }
    MutableByteView bytes() const { return {data_, size_}; }

  private:
    uint8_t* data_;
    uint64_t size_;
};

class PageSource {
  public:
    virtual ~PageSource() = default;
    // Nothing when there is none left of this size, or never was.
    virtual std::optional<HugePage> take(uint64_t size) = 0;
};

// Those of the kernel's pools (Documentation/admin-guide/mm/hugetlbpage.rst). Pages are there once they are
// taken: using one never fails for want of memory.
class HugePagePool final : public PageSource {
  public:
    std::optional<HugePage> take(uint64_t size) override;
};

// At least `bytes` of them, sorted from large to small, with as little more as the pages allow.
// NoHugePages, with what is missing.
Result<std::vector<HugePage>> take_pages(PageSource& source, uint64_t bytes);

uint64_t total_size(const std::vector<HugePage>& pages);

}  // namespace alcove::ne_driver
