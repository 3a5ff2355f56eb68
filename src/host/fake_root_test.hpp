// SPDX-License-Identifier: Apache-2.0
//
// For tests: a directory that stands where / would, with a few files of /proc and /sys in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/check.hpp"
#include "support/system.hpp"

namespace alcove::host {

class FakeRoot {
  public:
    FakeRoot() {
        std::string pattern = (std::filesystem::temp_directory_path() / "alcove-host-XXXXXX").string();
        ALCOVE_CHECK(::mkdtemp(pattern.data()) != nullptr, "a temporary directory can be made");
        path_ = pattern;
    }
    ~FakeRoot() { std::filesystem::remove_all(path_); }
    FakeRoot(const FakeRoot&) = delete;
    FakeRoot& operator=(const FakeRoot&) = delete;

    void put(const std::string& file, std::string_view content) const {
        const std::string target = path_ + file;
        std::filesystem::create_directories(std::filesystem::path(target).parent_path());
        sys::replace_file(target, as_byte_view(content), 0600)
            .value();  // a fresh directory of ours: it cannot fail
    }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace alcove::host
