// SPDX-License-Identifier: Apache-2.0
//
// The embedded host: a small Linux under QEMU's TCG, with KVM inside, for machines that have no usable KVM.
// An object of this class is a handle to the one that belongs to a state folder, running or not; what runs
// outlives the program that started it. Two processes do: QEMU, and `alcove-bridge outer`, which carries
// streams between Unix sockets in the folder and programs inside.
//
// The folder (0700) holds, all for their owner only:
//     state.img      the host's persistent disk (ext4; /var/lib/alcove inside)
//     running.json   the two processes, by number and start time, and what they were started with
//     lock           held while the host is started or stopped
//     *.sock         QEMU's control socket, the bridge's port, and what clients connect to
//     console.log    what the host's kernel said; qemu.log, bridge.log
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "embedded/exec_client.hpp"
#include "embedded/outer_bridge.hpp"
#include "embedded/process.hpp"
#include "embedded/state_folder.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

struct HostConfig {
    std::string folder;  // empty: StateFolder::default_path()
    std::string kernel;  // as made by testhost/build_root
    std::string initrd;
    std::string qemu = "qemu-system-x86_64";
    std::string bridge_program;  // empty: `alcove-bridge` beside the running program, else in PATH
    uint64_t memory_mib = 6144;
    uint64_t state_disk_mib = 16 * 1024;  // largest size; the file is sparse
    std::vector<Forward> forwards = {{"alcoved.sock", "unix:/run/alcove/alcoved.sock"},
                                     {"alcoved-view.sock", "unix:/run/alcove-view/alcoved-view.sock"}};
    std::string extra_command_line;
    std::vector<std::string> extra_qemu_arguments;
};

struct HostStatus {
    bool running = false;    // QEMU runs
    bool answering = false;  // and the agent inside answers
    bool crashed = false;    // it was started and not stopped, and is gone
    bool outdated = false;   // it runs another build of the root image than HostConfig names
    pid_t pid = 0;
    std::chrono::seconds uptime{0};  // since QEMU was started
    uint64_t memory_mib = 0;         // given to the host
    uint64_t resident_mib = 0;       // of it, in use on this machine
    uint64_t available_mib = 0;      // free inside, when it answers
    std::string agent_version;
    std::vector<std::string> images;  // serials of attached images
};

class EmbeddedHost {
  public:
    // What it is doing, for people ("booting (3 s)"). Called about twice a second.
    using Progress = std::function<void(const std::string& what, std::chrono::milliseconds elapsed)>;

    static constexpr std::chrono::seconds kStopPatience{20};

    // Opens the state folder, which it makes when it is missing (see StateFolder::open for errors).
    static Result<EmbeddedHost> open(HostConfig config);

    // Starts QEMU and the bridge, and returns before the host is up. A host that runs is left as it is; a
    // lost bridge is replaced. Errors: MissingDependency (no QEMU, kernel or bridge), NoSpace, NoFreeMemory,
    // PathTooLong, EmbeddedHostFailed with QEMU's words.
    Result<void> start();
    // Until the agent answers and, if given, `target` accepts a connection. EmbeddedHostFailed with the
    // console's last lines when QEMU ends meanwhile; Timeout.
    Result<void> wait_ready(std::chrono::milliseconds timeout, const Progress& progress = {},
                            const std::string& target = "status");
    // Powers off in order; after the deadline by force. Success when nothing runs.
    Result<void> stop(std::chrono::milliseconds timeout = kStopPatience);
    // Stops it if it runs another build than HostConfig names: whether it was so. start() then gives the new
    // one the memory that this one had.
    Result<bool> stop_if_outdated();
    // Whether that is so; cheap, as runs() is. A config without a build is never newer.
    Result<bool> is_outdated() const;
    Result<HostStatus> status();
    // Whether both processes are there, without asking them: cheap, also for many callers at once.
    Result<bool> runs() const;

    // A byte stream to "unix:/path" inside, or another target of agent.hpp.
    Result<Fd> open_stream(const std::string& target);
    // Runs a program inside, as root, and gives its exit code.
    Result<int> exec(const ExecRequest& request, const ExecStreams& streams = {});
    // The same without its input, output collected (at most 1 MiB each).
    struct Output {
        int exit_code = 0;
        std::string output;
        std::string errors;
    };
    Result<Output> exec_collect(const std::vector<std::string>& arguments);

    // A file becomes a read-only disk inside, at /dev/disk/by-alcove/<serial>, readable by group alcove.
    // Opened by the caller: the descriptor is passed to QEMU. Disks have sectors of 512 bytes: `size` says
    // how many bytes count, zeros follow. The serial has 1 to 20 of a-z, 0-9 and '-'.
    struct AttachedImage {
        std::string path;  // inside
        uint64_t size = 0;
    };
    Result<AttachedImage> attach_image(const std::string& serial, const Fd& image) {
        return attach(serial, image, DiskAccess::ReadOnly);
    }
    // A disk of a VM inside, in the same way; it can be written, and then what is written is in the file when
    // the host was told to flush it.
    enum class DiskAccess { ReadOnly, ReadWrite };
    Result<AttachedImage> attach(const std::string& serial, const Fd& file, DiskAccess access);
    Result<void> detach_image(const std::string& serial);

    const std::string& folder() const { return folder_.path(); }
    // Where clients connect: a forward's socket.
    std::string socket_path(const std::string& name) const { return folder_.file(name); }

  private:
    EmbeddedHost(HostConfig config, StateFolder folder)
        : config_(std::move(config)), folder_(std::move(folder)) {}

    Result<void> check_requirements();
    Result<void> stop_locked(std::chrono::milliseconds timeout);
    Result<ProcessId> start_qemu() const;
    Result<void> wait_for_qemu(const ProcessId& qemu) const;
    Failure qemu_failed() const;
    Result<ProcessId> start_bridge() const;
    Result<void> require_running() const;
    std::string last_words() const;
    std::string root_stamp() const;
    void clear() const;

    HostConfig config_;
    StateFolder folder_;
};

}  // namespace alcove::embedded
