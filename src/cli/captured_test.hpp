// SPDX-License-Identifier: Apache-2.0
//
// For tests: one call of `alcove` whose words are kept, and a directory for its files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"
#include "support/check.hpp"
#include "support/system.hpp"

namespace alcove::cli {

struct Captured {
    int exit = -1;
    std::string out;
    std::string err;
    Json json() const { return codec::json::parse(out).value(); }
};

// `program` is called with the streams, and gives the exit code.
inline Captured capture(const std::function<int(const Streams&)>& program) {
    Captured captured;
    const Streams streams{.out = [&](std::string_view text) { captured.out += text; },
                          .err = [&](std::string_view text) { captured.err += text; },
                          .out_is_terminal = false,
                          .err_is_terminal = false};
    captured.exit = program(streams);
    return captured;
}

inline Captured call(const std::vector<std::string>& arguments, const ProgramParts& parts = {}) {
    return capture([&](const Streams& streams) { return run_program(arguments, streams, parts); });
}

class ScratchFolder {
  public:
    ScratchFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "alcove-cli-XXXXXX").string();
        ALCOVE_CHECK(::mkdtemp(pattern.data()) != nullptr, "a temporary directory can be made");
        path_ = pattern;
    }
    ~ScratchFolder() { std::filesystem::remove_all(path_); }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;

    std::string path(const std::string& name) const { return path_ + "/" + name; }
    std::string write(const std::string& name, std::string_view content, mode_t mode = 0644) const {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        sys::replace_file(path(name), as_byte_view(content), mode).value();
        return path(name);
    }

  private:
    std::string path_;
};

}  // namespace alcove::cli
