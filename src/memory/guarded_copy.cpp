// SPDX-License-Identifier: Apache-2.0
#include "memory/guarded_copy.hpp"

#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>

#include "support/check.hpp"

namespace alcove::memory {

namespace {

// The copy that a thread is at.
struct Guard {
    sigjmp_buf escape;
    const uint8_t* from = nullptr;
    size_t size = 0;
};
thread_local Guard t_guard;

void on_bus_error(int, siginfo_t* info, void*) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): compared as numbers, the pointers are of different objects
    const auto offset =
        reinterpret_cast<uintptr_t>(info->si_addr) - reinterpret_cast<uintptr_t>(t_guard.from);
    if (offset < t_guard.size) siglongjmp(t_guard.escape, 1);
    // Nobody's: the access is made again, and ends the process.
    static_cast<void>(std::signal(SIGBUS, SIG_DFL));
}

bool install_handler() {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

// Nothing in here has a destructor, which a jump would leave out.
bool copy_or_escape(uint8_t* into, const uint8_t* from, size_t size) {
    if (sigsetjmp(t_guard.escape, 1) != 0) {
        t_guard.size = 0;
        return false;
    }
    t_guard.from = from;
    t_guard.size = size;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(into, from, size);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    t_guard.size = 0;
    return true;
}

}  // namespace

Result<void> guarded_copy(MutableByteView into, ByteView from) {
    ALCOVE_CHECK(into.size() == from.size(), "a copy is as large as what is copied");
    static const bool installed = install_handler();
    ALCOVE_CHECK(installed, "SIGBUS can be handled");
    if (!copy_or_escape(into.data(), from.data(), from.size()))
        return fail_errno(EFAULT, "copying memory that is there no more");
    return {};
}

}  // namespace alcove::memory
