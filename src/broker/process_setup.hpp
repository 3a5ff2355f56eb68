// SPDX-License-Identifier: Apache-2.0
//
// A child of the broker, and what it does to itself before it becomes somebody else's program. These run
// between fork and exec in a single-threaded process; each either succeeds or gives the errno's Error, and
// the child then reports it and exits.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::broker {

// fork, with the child in the cgroup whose directory this is from its beginning; 0 in the child. For
// single-threaded processes only.
//
// Nothing is moved between cgroups here, for the kernel (6.12) never wakes from that when somebody changes
// a cpuset partition at the same time: the move holds cgroup_threadgroup_rwsem and waits for cpuset_mutex,
// whose holder waits for a workqueue's new kernel thread, which is not made before that rwsem is free.
Result<pid_t> fork_into(const Fd& cgroup);

// A mount namespace whose root is an empty read-only file system with nothing in it but `visible`: existing
// directories, read-only and without set-user-ID programs or devices; links among them become links.
// `mount_point` is any empty directory.
Result<void> enter_empty_root(const std::string& mount_point, const std::vector<std::string>& visible);

// No core file, and so many descriptors.
Result<void> limit_resources(uint64_t descriptors);

// User and group `uid`/`gid`, no other groups, no capability and no way to get one.
Result<void> drop_privileges(uid_t uid, gid_t gid);

// Whether two VMs can be given the two siblings of a core, one each: nothing where there are no siblings, or
// the kernel has core scheduling; ErrorCode::Unsupported says that it has not.
Result<void> check_siblings_can_be_shared();
// One core-scheduling cookie for this process and its threads: only they run on both siblings of a core at
// the same time. Unsupported as above. Needs the host's /sys.
Result<void> isolate_siblings();

// The descriptors that a program begins with, by their present numbers. It finds the first as 0, the second
// as 1 and 2, the third as 3, `more` behind it, and no others.
struct ProgramStart {
    int standard_input;
    int output;
    int channel;
    std::vector<int> more;
    int program;  // what to execute, open for reading
    std::vector<std::string> arguments;
};
// Returns only when it failed. `status` stays open until the exec, which closes it; its number changes.
Error become_program(const ProgramStart& start, int& status);

}  // namespace alcove::broker
