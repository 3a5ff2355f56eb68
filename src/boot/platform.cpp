// SPDX-License-Identifier: Apache-2.0
#include "boot/platform.hpp"

#include <cstdio>

namespace alcove::boot {

Discovery discovery_for(std::string_view command_line) {
    constexpr std::string_view kWord = "nomodules";
    for (size_t at = command_line.find(kWord); at != std::string_view::npos;
         at = command_line.find(kWord, at + 1)) {
        const bool starts = at == 0 || command_line[at - 1] == ' ';
        const size_t end = at + kWord.size();
        if (starts && (end == command_line.size() || command_line[end] == ' ')) return Discovery::CommandLine;
    }
    return Discovery::Acpi;
}

std::string command_line_devices(const Platform& platform) {
    std::string words;
    for (const auto& place : platform.virtio_mmio) {
        char word[64];
        std::snprintf(word, sizeof word, " virtio_mmio.device=%uK@0x%x:%u", place.size >> 10, place.base,
                      place.gsi);
        words += word;
    }
    return words;
}

}  // namespace alcove::boot
