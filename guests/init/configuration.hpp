// SPDX-License-Identifier: Apache-2.0
//
// The three text files that an image's builder leaves for init in the initramfs. /cmd and /env are AWS's
// convention: one argument, or one NAME=value, a line. /modules is ours: one kernel module a line, in the
// order in which they have to be loaded. Nothing is quoted or expanded, so any byte but newline and zero can
// stand in an argument.
//
// These functions only look at text; reading and deleting the files is main.cpp's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/result.hpp"

namespace alcove::init {

// No file of ours is larger; it bounds what is read into memory.
inline constexpr size_t kConfigurationLimit = 1 << 20;

// /cmd: the program and its arguments. An empty line is an empty argument; the newline at the end of the file
// is not one. At least the program must be there, and its name must not be empty.
Result<std::vector<std::string>> parse_command(std::string_view text);

// /env: the whole environment. Empty lines are skipped; every other line needs a name before its first '='.
Result<std::vector<std::string>> parse_environment(std::string_view text);

struct Module {
    std::string path;
    std::string options;
    bool optional;  // a failure is told, and init goes on
};

// /modules: `[-]<path> [options]`. A leading '-' marks a module whose device need not be there (ptp_kvm on a
// machine without KVM's clock). Empty lines are skipped.
Result<std::vector<Module>> parse_modules(std::string_view text);

}  // namespace alcove::init
