// SPDX-License-Identifier: Apache-2.0
#include "sandbox/syscall_filter.hpp"

#include <seccomp.h>

namespace alcove::sandbox {

namespace {

Result<void> check(int result, const char* what) {
    if (result < 0) return fail_errno(-result, what);
    return {};
}

}  // namespace

void SyscallFilter::Release::operator()(void* context) const {
    ::seccomp_release(context);
}

Result<SyscallFilter> SyscallFilter::create() {
    Context context(::seccomp_init(SCMP_ACT_KILL_PROCESS));
    if (!context) return fail(ErrorCode::OutOfMemory, "seccomp_init");
    // Threads that run already get the filter, too.
    TRY(check(::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_TSYNC, 1), "seccomp for all threads"));
    return SyscallFilter(std::move(context));
}

Result<void> SyscallFilter::allow(std::span<const int> calls) {
    for (const int call : calls)
        TRY(check(::seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, call, 0), "seccomp rule"));
    return {};
}

Result<void> SyscallFilter::allow_if(int call, unsigned argument, uint64_t mask, uint64_t value) {
    const scmp_arg_cmp condition{
        .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
    return check(::seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, call, 1, &condition),
                 "seccomp rule");
}

Result<void> SyscallFilter::answer(int call, int errno_value) {
    const auto action = SCMP_ACT_ERRNO(static_cast<uint16_t>(errno_value));
    return check(::seccomp_rule_add(context_.get(), action, call, 0), "seccomp rule");
}

Result<void> SyscallFilter::install() const {
    return check(::seccomp_load(context_.get()), "seccomp_load");
}

}  // namespace alcove::sandbox
