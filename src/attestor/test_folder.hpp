// SPDX-License-Identifier: Apache-2.0
//
// For tests: a new private folder that goes with its object.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/check.hpp"

namespace alcove::attestor {

class TestFolder {
  public:
    explicit TestFolder(const std::filesystem::path& where = std::filesystem::temp_directory_path()) {
        std::string pattern = (where / "alcove-attestor-XXXXXX").string();
        ALCOVE_CHECK(::mkdtemp(pattern.data()) != nullptr, "a folder for the test");
        path_ = pattern;
    }
    ~TestFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;

    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

}  // namespace alcove::attestor
