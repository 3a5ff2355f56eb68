// SPDX-License-Identifier: Apache-2.0
//
// Processes that outlive the program that started them. A process number is used again some day, so a
// process is known by its number, its start time and the boot it belongs to; signals go through a pidfd that
// was checked against all three.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

struct ProcessId {
    pid_t pid = 0;
    uint64_t start_time = 0;  // /proc/<pid>/stat field 22: clock ticks since boot
    std::string boot_id;      // /proc/sys/kernel/random/boot_id

    bool operator==(const ProcessId&) const = default;
};

// What `pid` is now; ErrorCode::NotFound when there is no such process or it is dead (a zombie).
Result<ProcessId> identify(pid_t pid);
bool is_running(const ProcessId& process);
// Does nothing when the process is gone.
Result<void> send_signal(const ProcessId& process, int signal);
// Whether it ended within the time.
bool wait_for_end(const ProcessId& process, std::chrono::milliseconds timeout);

// The start time in a line of /proc/<pid>/stat; nothing when it is malformed or the process is a zombie.
std::optional<uint64_t> parse_start_time(const std::string& stat_line);

struct SpawnOptions {
    std::vector<std::string> arguments;    // the first is the program, looked up in PATH
    std::vector<std::string> environment;  // "NAME=value"; empty: this process's own
    std::vector<int> descriptors;          // become 0, 1, 2 ... of the child; -1: /dev/null; 0-2 always exist
    std::string terminal;                  // a pty's slave: becomes 0, 1, 2 and the controlling terminal
    bool new_session = false;
};
// Signals are at their defaults in the child and none is blocked; no other descriptor is inherited.
Result<pid_t> spawn(const SpawnOptions& options);

struct Finished {
    int exit_code = 0;   // 128 + n for signal n
    std::string errors;  // what it wrote to standard error, the first 64 KiB
};
// Runs a program to its end, or kills it after the timeout (ErrorCode::Timeout). A program that leaves a
// daemon behind is finished when it exits itself. Its standard error is ours to read, whatever the options
// say.
Result<Finished> run(SpawnOptions options, std::chrono::milliseconds timeout);
Result<Finished> run(const std::vector<std::string>& arguments, std::chrono::milliseconds timeout);

// Absolute path of a program in PATH, or of `name` itself when it has a slash; ErrorCode::NotFound.
Result<std::string> find_program(const std::string& name);

int exit_code_of(int wait_status);

}  // namespace alcove::embedded
