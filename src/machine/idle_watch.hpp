// SPDX-License-Identifier: Apache-2.0
//
// When it is worth to stop a machine's vCPUs for a look at them: not while one of them computes. A guest that
// has halted for good is idle for ever, so a look at idle ones finds it, and busy ones are left alone.
#pragma once

#include <chrono>
#include <span>
#include <vector>

namespace alcove::machine {

class IdleWatch {
  public:
    static constexpr std::chrono::seconds kPeriod{1};
    // The look itself costs some.
    static constexpr std::chrono::milliseconds kIdleAtMost{10};

    // Once a period, with the processor time of each vCPU's thread since it began: whether each used less
    // than kIdleAtMost of the period that ends. Not in the first.
    bool idle(std::span<const std::chrono::nanoseconds> used);

  private:
    std::vector<std::chrono::nanoseconds> before_;
};

}  // namespace alcove::machine
