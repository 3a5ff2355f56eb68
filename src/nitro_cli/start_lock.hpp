// SPDX-License-Identifier: Apache-2.0
//
// Starts of enclaves take turns: the port of the heartbeat is one for the whole machine, and a name has to be
// free. Goes away with the process at the latest.
#pragma once

#include <string>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

class StartLock {
  public:
    // Waits for the turn, as long as `caller` has not hung up. LockAcquire.
    static Result<StartLock> take(const std::string& path, const Fd& caller);

  private:
    explicit StartLock(Fd file) : file_(std::move(file)) {}
    Fd file_;
};

}  // namespace alcove::nitro_cli
