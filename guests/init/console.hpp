// SPDX-License-Identifier: Apache-2.0
//
// Where init speaks: /dev/console, as standard input, output and error of init and of the application.
#pragma once

#include <string_view>

namespace alcove::init {

// Opens the console on descriptors 0 to 2. A kernel without one gets /dev/null there: an enclave whose
// console goes nowhere runs all the same.
void open_console();

// One line, `init: <text>`.
void say(std::string_view text);

// Waits, for a bounded time, until the serial port has taken what was said.
void drain_console();

}  // namespace alcove::init
