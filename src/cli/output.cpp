// SPDX-License-Identifier: Apache-2.0
#include "cli/output.hpp"

#include <cstdio>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "support/error_catalog.hpp"

namespace alcove::cli {

Streams Streams::of_process() {
    const auto write = [](FILE* file) {
        return [file](std::string_view text) {
            std::fwrite(text.data(), 1, text.size(), file);
            std::fflush(file);
        };
    };
    return {.out = write(stdout),
            .err = write(stderr),
            .out_is_terminal = ::isatty(STDOUT_FILENO) == 1,
            .err_is_terminal = ::isatty(STDERR_FILENO) == 1};
}

void Output::line(std::string_view text) const {
    streams_.out(std::string(text) + "\n");
}

void Output::object(const Json& json) const {
    streams_.out(codec::json::dump_pretty(json));
}

void Output::result(const Json& json, std::string_view text) const {
    if (json_) return object(json);
    streams_.out(text);
}

void Output::note(std::string_view text) const {
    if (!quiet_) streams_.err(std::string(text) + "\n");
}

void Output::error(const Error& error) const {
    if (json_) object(error_object(error));
    streams_.err(error_text(error));
}

Result<void> needs_bytes(const Output& output, const std::string& why) {
    if (!output.json()) return {};
    return fail(ErrorCode::InvalidArgument, "this command has no --json: " + why);
}

std::string error_text(const Error& error) {
    const auto& entry = error_entry(error.code());
    return "error " + code_label(error.code()) + " " + std::string(entry.name) + ": " + error.to_string() +
           "\nremedy: " + std::string(entry.remedy) + "\n";
}

Json error_object(const Error& error) {
    const auto& entry = error_entry(error.code());
    return {{"error",
             {{"code", code_label(error.code())},
              {"name", std::string(entry.name)},
              {"message", error.to_string()},
              {"remedy", std::string(entry.remedy)}}}};
}

std::string for_terminal(std::string_view bytes) {
    std::string safe(bytes);
    for (char& c : safe) {
        const auto byte = static_cast<unsigned char>(c);
        const bool passes = byte == '\n' || byte == '\r' || byte == '\t' || byte == '\b';
        // 0x80 to 0x9f are control characters too, where a terminal is not in UTF-8 mode; in UTF-8 they are
        // parts of characters, and a console's text is ASCII.
        if ((byte < 0x20 && !passes) || byte == 0x7f || (byte >= 0x80 && byte < 0xa0)) c = '?';
    }
    return safe;
}

std::string Streams::shown(std::string_view bytes) const {
    return out_is_terminal ? for_terminal(bytes) : std::string(bytes);
}

std::string one_line(std::string_view text) {
    std::string safe = for_terminal(text);
    for (char& c : safe)
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    return safe;
}

}  // namespace alcove::cli
