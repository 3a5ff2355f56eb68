// SPDX-License-Identifier: Apache-2.0
#include "cli/table.hpp"

#include <algorithm>
#include <cstdint>

namespace alcove::cli {

std::string render_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

std::string render_fields(const std::vector<std::pair<std::string, std::string>>& fields, size_t indent) {
    size_t width = 0;
    for (const auto& [name, value] : fields)
        width = std::max(width, name.size());
    std::string text;
    for (const auto& [name, value] : fields)
        text.append(indent, ' ').append(name).append(width - name.size() + 2, ' ').append(value).append("\n");
    return text;
}

std::string size_text(uint64_t bytes) {
    constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t rest = 0;
    while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
        rest = bytes % 1024;
        bytes /= 1024;
        ++unit;
    }
    const uint64_t tenth = rest * 10 / 1024;
    return std::to_string(bytes) + (tenth > 0 ? "." + std::to_string(tenth) : "") + " " + kUnits[unit];
}

}  // namespace alcove::cli
