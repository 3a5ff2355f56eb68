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

// How much is written and looked at: of all words each, or the first of each small page.
enum class Step : uint64_t { Word = 1, Page = kSmallPage / sizeof(uint64_t) };

class EnclaveMemory {
  public:
    // One region for each size, all multiples of 2 MiB.
    static Result<EnclaveMemory> create(std::span<const uint64_t> sizes);
    // So many bytes, sorted by where they lie in this machine: one region for each run of pages side by side,
    // which the driver hands to the device as one. Needs root.
    static Result<EnclaveMemory> create_in_runs(uint64_t size);

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

    void fill_pattern(Step step = Step::Word);
    void clear();
    // The first word that is not, as its number in all regions together; or nothing.
    std::optional<uint64_t> find_not_pattern() const;
    std::optional<uint64_t> find_not_zero(Step step = Step::Word) const;

  private:
    EnclaveMemory() = default;
    template <typename Expected>
    std::optional<uint64_t> find_other(Step step, Expected expected) const;

    std::vector<Region> regions_;
};

}  // namespace alcove::ne_client
