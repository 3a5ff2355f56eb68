// SPDX-License-Identifier: Apache-2.0
//
// Lines such as "MemAvailable:   16316 kB", by which the kernel tells amounts of memory: /proc/meminfo,
// /proc/<pid>/status, and a NUMA node's meminfo with its "Node 0 MemFree:  12 kB" (proc_meminfo(5)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace alcove {

// In bytes; nothing when no line has that name and a number that fits.
std::optional<uint64_t> memory_line(std::string_view text, std::string_view name);

// The same of a file; nothing when there is none, either.
std::optional<uint64_t> memory_line_of(const std::string& path, std::string_view name);

}  // namespace alcove
