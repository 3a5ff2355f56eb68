// SPDX-License-Identifier: Apache-2.0
//
// A set of host CPUs in a message: bit n of the little-endian bit string is CPU n.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/limits.hpp"
#include "support/check.hpp"
#include "support/result.hpp"

namespace alcove::api {

class CpuMask {
  public:
    constexpr void add(uint32_t cpu) {
        ALCOVE_CHECK(cpu < kMaxHostCpus, "a host CPU that the mask has room for");
        bytes_[cpu / 8] = static_cast<uint8_t>(bytes_[cpu / 8] | 1U << cpu % 8);
    }
    constexpr bool has(uint32_t cpu) const {
        return cpu < kMaxHostCpus && (bytes_[cpu / 8] >> cpu % 8 & 1) != 0;
    }
    // What either of them has.
    constexpr CpuMask operator|(const CpuMask& other) const {
        CpuMask both = *this;
        for (size_t i = 0; i < bytes_.size(); ++i)
            both.bytes_[i] = static_cast<uint8_t>(both.bytes_[i] | other.bytes_[i]);
        return both;
    }
    constexpr uint32_t count() const {
        uint32_t sum = 0;
        for (const uint8_t byte : bytes_)
            sum += static_cast<uint32_t>(__builtin_popcount(byte));
        return sum;
    }
    // "0,2,3": as cpuset.cpus takes it.
    std::string to_list() const {
        std::string list;
        for (uint32_t cpu = 0; cpu < kMaxHostCpus; ++cpu)
            if (has(cpu)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
        return list;
    }
    // "0-1,4": as sysfs and cpusets write it; an empty text is the empty set. ErrorCode::InvalidArgument.
    static Result<CpuMask> parse_list(std::string_view text);
    bool operator==(const CpuMask&) const = default;

  private:
    std::array<uint8_t, kMaxHostCpus / 8> bytes_{};
};
static_assert(sizeof(CpuMask) == 128);

}  // namespace alcove::api
