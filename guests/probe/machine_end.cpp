// SPDX-License-Identifier: Apache-2.0
#include "probe/machine_end.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::probe {

Result<void> panic_machine() {
    const Fd trigger = TRY(sys::open("/proc/sysrq-trigger", O_WRONLY));
    TRY(sys::write_all(trigger, as_byte_view("c")));
    return fail(ErrorCode::Internal, "the kernel went on behind a panic");
}

Result<void> power_off_machine() {
    sync();
    reboot(RB_POWER_OFF);
    return fail_errno(errno, "powering off");
}

}  // namespace alcove::probe
