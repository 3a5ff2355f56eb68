// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sgx_program/program.hpp"

namespace alcove::sgx_program {

namespace {

struct Gate {  // of kGuard
    std::atomic<uint64_t> open, inside;
};

void stay_on(size_t processor) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
}

void load(Way way, const char* command_line) {
    const int kernel = ::open("/next/kernel", O_RDONLY | O_CLOEXEC);
    const int initrd = ::open("/next/initrd", O_RDONLY | O_CLOEXEC);
    const unsigned long flags = way == Way::Crash ? KEXEC_FILE_ON_CRASH : 0;
    if (::syscall(SYS_kexec_file_load, kernel, initrd, std::strlen(command_line) + 1, command_line, flags) ==
        0)
        return;
    line("FAILED kexec_file_load", static_cast<uint64_t>(errno));
    std::exit(kFailure);
}

}  // namespace

void hand_over(Way way, const char* command_line) {
    load(way, command_line);
    const Enclave enclave = build(false);
    stay_on(0);
    Gate gate{};
    std::thread guard([&] {
        stay_on(1);
        enclave.enter(kGuard, reinterpret_cast<uint64_t>(&gate));
    });
    while (gate.inside == 0)
        ::usleep(1000);
    line("inside when the kernel goes", gate.inside);
    if (way == Way::Kexec) {
        ::syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, nullptr);
    } else {
        const int trigger = ::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
        if (::write(trigger, "c", 1) != 1) line("FAILED sysrq-trigger", static_cast<uint64_t>(errno));
    }
    line("FAILED the kernel is there still", static_cast<uint64_t>(errno));
    gate.open = 1;
    guard.join();
}

}  // namespace alcove::sgx_program
