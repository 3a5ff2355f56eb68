// SPDX-License-Identifier: Apache-2.0
#include "support/memory_lines.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "support/bits.hpp"
#include "support/checked.hpp"
#include "support/system.hpp"

namespace alcove {

std::optional<uint64_t> memory_line(std::string_view text, std::string_view name) {
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const size_t colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        std::string_view key = line.substr(0, colon);
        if (const size_t space = key.rfind(' '); space != std::string_view::npos)
            key.remove_prefix(space + 1);
        if (key != name) continue;
        const size_t digits = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
        uint64_t kib = 0;
        const auto number = std::from_chars(line.data() + digits, line.data() + line.size(), kib);
        return number.ec == std::errc{} ? checked_mul<uint64_t>(kib, 1_KiB) : std::nullopt;
    }
    return std::nullopt;
}

std::optional<uint64_t> memory_line_of(const std::string& path, std::string_view name) {
    const auto content = sys::read_file(path, 64_KiB);
    return content ? memory_line(as_text(*content), name) : std::nullopt;
}

}  // namespace alcove
