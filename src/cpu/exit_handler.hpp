// SPDX-License-Identifier: Apache-2.0
//
// A part of the machine that looks at the exits of a vCPU before its thread gives them to the buses: what it
// does not want goes on to them.
#pragma once

#include "kvm/vcpu.hpp"
#include "support/result.hpp"

namespace alcove::cpu {

class ExitHandler {
  public:
    virtual ~ExitHandler() = default;

    enum class Answer { Done, NotMine };
    // On the vCPU's thread, after each exit. An error ends the machine, here and below.
    virtual Result<Answer> handle() = 0;
    // On the same thread, after KVM_RUN was interrupted instead: by VcpuThread::kick(), or to be parked, and
    // that is over.
    virtual Result<void> interrupted() { return {}; }
};

}  // namespace alcove::cpu
