// SPDX-License-Identifier: Apache-2.0
//
// A seccomp filter in the making: a list of what a process may ask the kernel for. A call outside the list
// ends the process (SIGSYS), since only somebody else's code would make it. The list can look at a call's
// arguments, but not at what they point to: of a path or a structure it sees the address.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "support/result.hpp"

namespace alcove::sandbox {

class SyscallFilter {
  public:
    // Allows nothing.
    static Result<SyscallFilter> create();

    // Calls are libseccomp's numbers: SCMP_SYS(read).
    Result<void> allow(std::span<const int> calls);
    // When (argument & mask) == value; several rules for one call are alternatives. Arguments count from 0.
    Result<void> allow_if(int call, unsigned argument, uint64_t mask, uint64_t value);
    // Not a reason to end: the caller is answered with this errno, and has another way.
    Result<void> answer(int call, int errno_value);

    // For this thread and all that it starts, until they end. Takes new privileges from them as well.
    Result<void> install() const;

  private:
    struct Release {
        void operator()(void* context) const;
    };
    using Context = std::unique_ptr<void, Release>;

    explicit SyscallFilter(Context context) : context_(std::move(context)) {}

    Context context_;
};

}  // namespace alcove::sandbox
