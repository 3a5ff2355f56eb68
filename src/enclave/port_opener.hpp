// SPDX-License-Identifier: Apache-2.0
//
// Connects an enclave to host programs: port N of the host is a Unix socket port-<N>.sock that a program put
// into the VM's folder. The VMM, which sees no file system, asks; this looks the socket up below the folder
// alone, follows no link, never blocks, and limits the rate, for the asking is the guest's.
#pragma once

#include <chrono>

#include "api/vmm_messages.hpp"
#include "support/fd.hpp"

namespace alcove::enclave {

class PortOpener {
  public:
    using Clock = std::chrono::steady_clock;
    // This many at once, and this many a second in the long run.
    static constexpr uint32_t kBurst = 4096;
    static constexpr uint32_t kPerSecond = 2000;

    explicit PortOpener(Fd folder) : folder_(std::move(folder)) {}

    struct Opened {
        api::vmm::OpenPortStatus status;
        Fd socket;  // connected and non-blocking; open only when the status is Connected
    };
    Opened open(uint32_t port, Clock::time_point now);

  private:
    bool take_token(Clock::time_point now);

    Fd folder_;
    double tokens_ = kBurst;
    Clock::time_point refilled_{};
};

}  // namespace alcove::enclave
