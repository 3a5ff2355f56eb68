// SPDX-License-Identifier: Apache-2.0
#include "host/host_memory.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "support/bits.hpp"
#include "support/memory_lines.hpp"
#include "support/system.hpp"

namespace alcove::host {

namespace {

constexpr uint64_t kSmallFile = 64_KiB;

std::optional<uint64_t> parse_number(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end == text.data()) return std::nullopt;
    return value;
}

uint64_t read_number(const std::string& path) {
    const auto content = sys::read_file(path, 64);
    if (!content) return 0;  // a kernel without huge pages has no such file
    return parse_number(as_text(*content)).value_or(0);
}

std::vector<NumaNode> list_nodes(const std::string& directory) {
    std::vector<NumaNode> nodes;
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (!name.starts_with("node")) continue;
        const auto number = parse_number(std::string_view(name).substr(4));
        if (number && *number <= UINT32_MAX) nodes.push_back(NumaNode{static_cast<uint32_t>(*number)});
    }
    std::ranges::sort(nodes);
    return nodes;
}

HugePages read_pool(const std::string& directory) {
    return {.total_pages = read_number(directory + "/nr_hugepages"),
            .free_pages = read_number(directory + "/free_hugepages")};
}

// "always [within_size] never": the word in brackets.
std::string selected_word(std::string_view text) {
    const size_t begin = text.find('[');
    const size_t end = text.find(']', begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) return "";
    return std::string(text.substr(begin + 1, end - begin - 1));
}

}  // namespace

Result<HostMemory> read_host_memory(const std::string& root) {
    const auto content = TRY(sys::read_file(root + "/proc/meminfo", kSmallFile));
    HostMemory memory;
    const auto text = as_text(content);
    const auto total = memory_line(text, "MemTotal");
    const auto available = memory_line(text, "MemAvailable");
    if (!total || !available)
        return fail(ErrorCode::Unsupported, "/proc/meminfo has no MemTotal or MemAvailable");
    memory.total_bytes = *total;
    memory.available_bytes = *available;
    memory.swap_total_bytes = memory_line(text, "SwapTotal").value_or(0);

    const auto shmem = sys::read_file(root + "/sys/kernel/mm/transparent_hugepage/shmem_enabled", kSmallFile);
    if (shmem) memory.transparent_2m = selected_word(as_text(*shmem));

    const std::string nodes = root + "/sys/devices/system/node";
    for (const auto id : list_nodes(nodes)) {
        const std::string directory = nodes + "/node" + std::to_string(id.value);
        const auto info = sys::read_file(directory + "/meminfo", kSmallFile);
        if (!info) continue;
        NodeMemory node{.node = id};
        node.total_bytes = memory_line(as_text(*info), "MemTotal").value_or(0);
        node.free_bytes = memory_line(as_text(*info), "MemFree").value_or(0);
        node.huge_2m = read_pool(directory + "/hugepages/hugepages-2048kB");
        memory.nodes.push_back(node);
    }
    if (memory.nodes.empty()) {
        NodeMemory node{.node = NumaNode{0}, .total_bytes = *total};
        node.free_bytes = memory_line(text, "MemFree").value_or(0);
        node.huge_2m = read_pool(root + "/sys/kernel/mm/hugepages/hugepages-2048kB");
        memory.nodes.push_back(node);
    }
    return memory;
}

}  // namespace alcove::host
