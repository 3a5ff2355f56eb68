// SPDX-License-Identifier: Apache-2.0
#include "init/configuration.hpp"

#include <algorithm>

namespace alcove::init {

namespace {

// Without the newline that ends the last line; no lines at all for an empty text.
std::vector<std::string_view> split_lines(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        lines.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
}

Failure malformed(size_t line_index, const char* what) {
    return fail(ErrorCode::TextMalformed, "line " + std::to_string(line_index + 1) + " " + what);
}

// A zero would cut a string short on its way to execve or finit_module.
Result<std::vector<std::string_view>> lines_without_zero(std::string_view text) {
    auto lines = split_lines(text);
    for (size_t i = 0; i < lines.size(); ++i) {
        if (lines[i].find('\0') != std::string_view::npos) return malformed(i, "contains a zero byte");
    }
    return lines;
}

}  // namespace

Result<std::vector<std::string>> parse_command(std::string_view text) {
    const auto lines = TRY(lines_without_zero(text));
    if (lines.empty() || lines.front().empty()) return fail(ErrorCode::TextMalformed, "names no program");
    return std::vector<std::string>(lines.begin(), lines.end());
}

Result<std::vector<std::string>> parse_environment(std::string_view text) {
    const auto lines = TRY(lines_without_zero(text));
    std::vector<std::string> environment;
    for (size_t i = 0; i < lines.size(); ++i) {
        if (lines[i].empty()) continue;
        const size_t equals = lines[i].find('=');
        if (equals == std::string_view::npos) return malformed(i, "has no '='");
        if (equals == 0) return malformed(i, "has no name before its '='");
        environment.emplace_back(lines[i]);
    }
    return environment;
}

Result<std::vector<Module>> parse_modules(std::string_view text) {
    const auto lines = TRY(lines_without_zero(text));
    std::vector<Module> modules;
    for (size_t i = 0; i < lines.size(); ++i) {
        std::string_view line = lines[i];
        if (line.empty()) continue;
        const bool optional = line.starts_with('-');
        if (optional) line.remove_prefix(1);
        const size_t path_end = std::min(line.find(' '), line.size());
        const std::string_view path = line.substr(0, path_end);
        if (path.empty()) return malformed(i, "names no module");
        line.remove_prefix(path_end);
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        modules.push_back(Module{std::string(path), std::string(line), optional});
    }
    return modules;
}

}  // namespace alcove::init
