// SPDX-License-Identifier: Apache-2.0
//
// Keeps CLOCK_REALTIME with the host's clock, which KVM lends as a PTP clock (Linux
// drivers/ptp/ptp_kvm_common.c). clock_policy.hpp decides; this reads and sets.
#pragma once

#include "support/fd.hpp"

namespace alcove::init {

class ClockKeeper {
  public:
    // Looks for KVM's clock among /sys/class/ptp; without one the keeper says so once and then does nothing.
    static ClockKeeper find();

    // Compares, and steps or slews if that is called for. What it does is told the first time only: a
    // host whose clock runs badly must not fill the console. Failures are told once too, and are never fatal.
    void check();

  private:
    explicit ClockKeeper(Fd host_clock) : host_clock_(static_cast<Fd&&>(host_clock)) {}

    Fd host_clock_;
    bool told_step_ = false;
    bool told_slew_ = false;
    bool told_failure_ = false;
};

}  // namespace alcove::init
