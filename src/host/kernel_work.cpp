// SPDX-License-Identifier: Apache-2.0
#include "host/kernel_work.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

#include "support/system.hpp"

namespace alcove::host {

namespace {

constexpr uint32_t kMaxCpu = 65'535;  // of a list that is read, against nonsense

// The first line of a file; nothing when there is none.
std::string line_of(const std::string& path) {
    const auto content = sys::read_file(path, 64 * 1024);
    if (!content) return {};
    const auto text = as_text(*content);
    return std::string(text.substr(0, text.find('\n')));
}

// "(null)" is how the kernel writes a list that it does not have.
std::string list_of(const std::string& path) {
    auto line = line_of(path);
    return line == "(null)" ? std::string() : line;
}

void add_list(std::string_view list, std::set<uint32_t>& cpus) {
    while (!list.empty()) {
        const auto item = list.substr(0, list.find(','));
        list.remove_prefix(std::min(item.size() + 1, list.size()));
        uint32_t first = 0;
        const char* end = item.data() + item.size();
        auto read = std::from_chars(item.data(), end, first);
        if (read.ec != std::errc{}) continue;
        uint32_t last = first;
        if (read.ptr != end && *read.ptr == '-') std::from_chars(read.ptr + 1, end, last);
        for (uint32_t cpu = first; cpu <= std::min(last, kMaxCpu); ++cpu)
            cpus.insert(cpu);
    }
}

std::string list_text(const std::set<uint32_t>& cpus) {
    std::string text;
    for (auto at = cpus.begin(); at != cpus.end();) {
        const uint32_t first = *at;
        uint32_t last = first;
        for (++at; at != cpus.end() && *at == last + 1; ++at)
            last = *at;
        text += (text.empty() ? "" : ",") + std::to_string(first);
        if (last != first) text += "-" + std::to_string(last);
    }
    return text;
}

std::vector<std::filesystem::path> folders_in(const std::string& path) {
    std::vector<std::filesystem::path> folders;
    std::error_code error;
    std::filesystem::directory_iterator it(path, error);
    for (const std::filesystem::directory_iterator end; !error && it != end; it.increment(error))
        if (it->is_directory(error)) folders.push_back(it->path());
    return folders;
}

// The root group has no such file.
Answer has_exclusive_cpusets(const std::string& cgroups) {
    Answer answer = Answer::NotTried;
    for (const auto& group : folders_in(cgroups)) {
        std::error_code error;
        if (std::filesystem::exists(group / "cpuset.cpus.exclusive", error)) return Answer::Yes;
        if (std::filesystem::exists(group / "cpuset.cpus", error)) answer = Answer::No;
    }
    return answer;
}

// isolcpus=[flag,...,]list
std::string managed_irqs_of(std::string_view command_line) {
    constexpr std::string_view kOption = "isolcpus=";
    while (!command_line.empty()) {
        const auto word = command_line.substr(0, command_line.find(' '));
        command_line.remove_prefix(std::min(word.size() + 1, command_line.size()));
        if (!word.starts_with(kOption)) continue;
        const auto value = word.substr(kOption.size());
        if (("," + std::string(value)).find(",managed_irq,") == std::string::npos) return {};
        return std::string(value.substr(std::min(value.find_first_of("0123456789"), value.size())));
    }
    return {};
}

std::string interrupts_on(const std::string& irqs) {
    std::set<uint32_t> cpus;
    for (const auto& irq : folders_in(irqs))
        add_list(line_of((irq / "effective_affinity_list").string()), cpus);
    return list_text(cpus);
}

}  // namespace

KernelWork read_kernel_work(const std::string& root) {
    const std::string cpus = root + "/sys/devices/system/cpu";
    return {.exclusive_cpusets = has_exclusive_cpusets(root + "/sys/fs/cgroup"),
            .tickless = list_of(cpus + "/nohz_full"),
            .isolated = list_of(cpus + "/isolated"),
            .managed_irqs = managed_irqs_of(line_of(root + "/proc/cmdline")),
            .interrupts_on = interrupts_on(root + "/proc/irq")};
}

}  // namespace alcove::host
