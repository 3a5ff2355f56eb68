// SPDX-License-Identifier: Apache-2.0
//
// What guests of the tests print: a name and what is behind it, a line each.
#pragma once

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "crypto/aes.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {

// What is behind the name on its line, each time it was said.
inline std::vector<std::string> all_said(const GuestRun& run, const std::string& name) {
    std::vector<std::string> found;
    std::istringstream lines(run.console);
    for (std::string line; std::getline(lines, line);) {
        if (line.ends_with('\r')) line.pop_back();
        if (line.starts_with(name + " ")) found.push_back(line.substr(name.size() + 1));
    }
    return found;
}
inline std::string said(const GuestRun& run, const std::string& name) {
    const auto all = all_said(run, name);
    return all.empty() ? "nothing of " + name + "; all it said: " + run.console : all.front();
}

// Words in hexadecimal, as they lay in the guest's memory.
inline std::vector<uint8_t> bytes_of(const std::string& words) {
    std::vector<uint8_t> bytes;
    std::istringstream stream(words);
    for (std::string word; stream >> word;) {
        const uint64_t value = std::stoull(word, nullptr, 16);
        for (int i = 0; i < 8; ++i)
            bytes.push_back(static_cast<uint8_t>(value >> 8 * i));
    }
    return bytes;
}
inline crypto::AesKey key_of(const std::string& words) {
    const auto bytes = bytes_of(words);
    crypto::AesKey key{};
    EXPECT_EQ(bytes.size(), key.size()) << words;
    std::copy_n(bytes.begin(), std::min(bytes.size(), key.size()), key.begin());
    return key;
}

}  // namespace alcove::tests
