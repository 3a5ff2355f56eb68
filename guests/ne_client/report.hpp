// SPDX-License-Identifier: Apache-2.0
//
// What a scenario found: it goes on after something is wrong, says each thing once, and ends with `ok` only
// when nothing was.
#pragma once

#include <cstdint>

namespace alcove::ne_client {

class Report {
  public:
    explicit Report(const char* scenario) : scenario_(scenario) {}

    void expect(bool condition, const char* what);
    void expect_equal(long long got, long long wanted, const char* what);
    // The last line; gives the program's exit code.
    int finish() const;

  private:
    const char* scenario_;
    unsigned failures_ = 0;
};

}  // namespace alcove::ne_client
