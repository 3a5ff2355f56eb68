// SPDX-License-Identifier: Apache-2.0
//
// The command line of the embedded host's QEMU: everything about that machine in one place, as a pure
// function. It emulates an AMD processor with nested paging, so that KVM-AMD runs inside. It has no network
// device and listens on Unix sockets only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace alcove::embedded {

struct QemuMachine {
    std::string program;  // qemu-system-x86_64
    std::string kernel;   // as built by testhost/build_root
    std::string initrd;
    std::string state_disk;  // raw image
    std::string folder;      // sockets and console go there
    uint64_t memory_mib = 6144;
    std::string extra_command_line;            // words for the kernel
    std::vector<std::string> extra_arguments;  // for QEMU
};

inline constexpr const char* kQmpSocket = "qmp.sock";
inline constexpr const char* kPortSocket = "port.sock";
inline constexpr const char* kConsoleFile = "console.log";
// Serial number of the state disk; names of attached images must differ.
inline constexpr const char* kStateSerial = "alcove-state";
// Where images are attached while it runs.
inline constexpr const char* kImageBus = "images";

// It does not put itself into the background: its seccomp sandbox, which comes first, forbids that.
std::vector<std::string> qemu_arguments(const QemuMachine& machine);

}  // namespace alcove::embedded
