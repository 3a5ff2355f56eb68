// SPDX-License-Identifier: Apache-2.0
//
// Memory for an enclave: regions of 2 MiB huge pages, each a mapping of its own, and the pattern that shows
// where they went (README.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "support/result.hpp"

namespace alcove::ne_client {

inline constexpr uint64_t kHugePage = 2 << 20;
inline constexpr uint64_t kSmallPage = 4096;
inline constexpr uint64_t kPatternMark = 0x416c636f;

class EnclaveMemory {
  public:
    // One region for each size, all multiples of 2 MiB.
    static Result<EnclaveMemory> create(std::span<const uint64_t> sizes);

    EnclaveMemory(EnclaveMemory&& other) noexcept : regions_(std::exchange(other.regions_, {})) {}
    EnclaveMemory& operator=(EnclaveMemory&&) = delete;
    EnclaveMemory(const EnclaveMemory&) = delete;
    EnclaveMemory& operator=(const EnclaveMemory&) = delete;
    ~EnclaveMemory();

    struct Region {
        uint64_t* words;
        uint64_t size;  // bytes
    };
    const std::vector<Region>& regions() const { return regions_; }

    void fill_pattern();
    void clear();
    // The first word that is not, as its number in all regions together; or nothing.
    std::optional<uint64_t> find_not_pattern() const;
    std::optional<uint64_t> find_not_zero() const;

  private:
    EnclaveMemory() = default;
    template <typename Expected>
    std::optional<uint64_t> find_other(Expected expected) const;

    std::vector<Region> regions_;
};

}  // namespace alcove::ne_client
