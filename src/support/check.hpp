// SPDX-License-Identifier: Apache-2.0
//
// ALCOVE_CHECK: for our own mistakes, and only for them. What a guest, a file or a client can bring about
// is a Result; a broken invariant of ours ends the process, in release builds too, and says what it
// expected.
#pragma once

namespace alcove {

[[noreturn]] void check_failed(const char* condition, const char* expected, const char* file, int line);

}  // namespace alcove

#define ALCOVE_CHECK(condition, expected)                                     \
    do {                                                                      \
        if (!(condition)) [[unlikely]]                                        \
            ::alcove::check_failed(#condition, expected, __FILE__, __LINE__); \
    } while (false)
