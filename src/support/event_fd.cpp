// SPDX-License-Identifier: Apache-2.0
#include "support/event_fd.hpp"

#include <cerrno>

#include <sys/eventfd.h>
#include <unistd.h>

namespace alcove {

Result<EventFd> EventFd::create() {
    Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd.is_open()) return fail_errno(errno, "eventfd");
    return EventFd(std::move(fd));
}

void EventFd::signal() const {
    const uint64_t one = 1;
    // EAGAIN means that the counter is full: the poller is woken in any case.
    const ssize_t written = ::write(fd_.get(), &one, sizeof one);
    ALCOVE_CHECK(written == sizeof one || errno == EAGAIN, "an eventfd takes a write of 8 bytes");
}

uint64_t EventFd::drain() const {
    uint64_t count = 0;
    if (::read(fd_.get(), &count, sizeof count) != sizeof count) return 0;
    return count;
}

}  // namespace alcove
