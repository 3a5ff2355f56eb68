// SPDX-License-Identifier: Apache-2.0
//
// The folder in which an embedded host lives: private to its owner, with a path short enough for sockets,
// locked while somebody starts or stops the host, and holding the record of what runs. See embedded_host.hpp
// for what else is in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "embedded/process.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

// What was started: written before anything else can fail, so that it is found again.
struct RunningRecord {
    ProcessId qemu;
    std::optional<ProcessId> bridge;
    uint64_t memory_mib = 0;
    int64_t started_at = 0;  // seconds since 1970
    std::string root_stamp;  // tells one build of the root image from another
};

class StateFolder {
  public:
    // $XDG_STATE_HOME/alcove/host, else ~/.local/state/alcove/host.
    static Result<std::string> default_path();

    // Makes it (0700) when it is missing. PermissionDenied when others can enter it or it is somebody else's;
    // PathTooLong when one of `sockets`, names in it, would not fit a socket address.
    static Result<StateFolder> open(std::string path, const std::vector<std::string>& sockets);

    const std::string& path() const { return path_; }
    std::string file(const std::string& name) const { return path_ + "/" + name; }

    // Held by whoever starts or stops the host, until the descriptor is closed. ErrorCode::Busy after a
    // minute.
    Result<Fd> lock() const;

    // A record that makes no sense counts as none: the disk's own lock still forbids a second QEMU.
    Result<std::optional<RunningRecord>> running() const;
    Result<void> record(const RunningRecord& running) const;
    void forget_running() const;

    // Makes the host's disk when it is missing: sparse, all zeros; the host formats it.
    Result<void> prepare_disk(uint64_t size_mib) const;

    // The last lines of a log in the folder, "" when there is none.
    std::string last_lines(const std::string& name, size_t lines) const;

  private:
    explicit StateFolder(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

inline constexpr const char* kStateDisk = "state.img";

}  // namespace alcove::embedded
