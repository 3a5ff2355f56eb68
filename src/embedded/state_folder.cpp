// SPDX-License-Identifier: Apache-2.0
#include "embedded/state_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "support/system.hpp"

namespace alcove::embedded {

namespace {

using Json = nlohmann::json;

constexpr const char* kRunningFile = "running.json";
constexpr size_t kLongestSocketPath = 107;  // sun_path, less its NUL
constexpr auto kLockPatience = std::chrono::seconds(60);

Json process_json(const ProcessId& process) {
    return {{"pid", process.pid}, {"start_time", process.start_time}, {"boot_id", process.boot_id}};
}

std::optional<ProcessId> process_from(const Json& json) {
    if (!json.is_object()) return std::nullopt;
    const auto pid = json.find("pid");
    const auto start = json.find("start_time");
    const auto boot = json.find("boot_id");
    if (pid == json.end() || !pid->is_number_integer() || start == json.end() ||
        !start->is_number_unsigned() || boot == json.end() || !boot->is_string())
        return std::nullopt;
    return ProcessId{
        .pid = pid->get<pid_t>(), .start_time = start->get<uint64_t>(), .boot_id = boot->get<std::string>()};
}

}  // namespace

Result<std::string> StateFolder::default_path() {
    if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/')
        return std::string(state) + "/alcove/host";
    if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
        return std::string(home) + "/.local/state/alcove/host";
    return fail(ErrorCode::InvalidArgument,
                "neither XDG_STATE_HOME nor HOME says where state is kept; set one of them");
}

Result<StateFolder> StateFolder::open(std::string path, const std::vector<std::string>& sockets) {
    while (path.size() > 1 && path.back() == '/')
        path.pop_back();
    size_t longest = 0;
    for (const auto& name : sockets)
        longest = std::max(longest, name.size());
    if (path.size() + 1 + longest > kLongestSocketPath)
        return fail(ErrorCode::PathTooLong,
                    "the state folder's path is too long for Unix sockets, which have " +
                        std::to_string(kLongestSocketPath) + " bytes for a path: " + path +
                        ". Set XDG_STATE_HOME to a folder with a shorter path");

    TRY(sys::make_directories(path, 0700));
    const auto directory = TRY(sys::open(path, O_RDONLY | O_DIRECTORY));
    const auto info = TRY(sys::stat(directory));
    if (info.st_uid != ::geteuid())
        return fail(ErrorCode::PermissionDenied, "the state folder " + path + " belongs to another user");
    if ((info.st_mode & 077) != 0)
        return fail(ErrorCode::PermissionDenied,
                    "others may enter the state folder; run: chmod 700 '" + path + "'");
    return StateFolder(std::move(path));
}

Result<Fd> StateFolder::lock() const {
    const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
    auto held = TRY(sys::open(file("lock"), O_RDWR | O_CREAT, 0600));
    while (::flock(held.get(), LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(errno, "locking " + file("lock"));
        if (std::chrono::steady_clock::now() > deadline)
            return fail(ErrorCode::Busy,
                        "another command is starting or stopping the embedded host; try again later");
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return held;
}

Result<std::optional<RunningRecord>> StateFolder::running() const {
    const auto content = sys::read_file(file(kRunningFile), 64 * 1024);
    if (!content && content.error().code() == ErrorCode::NotFound) return std::optional<RunningRecord>();
    if (!content) return Failure{content.error()};
    const Json json = Json::parse(content->begin(), content->end(), nullptr, /*allow_exceptions=*/false);
    const auto qemu = json.is_object() && json.contains("qemu") ? process_from(json["qemu"]) : std::nullopt;
    if (!qemu) return std::optional<RunningRecord>();
    RunningRecord running{
        .qemu = *qemu, .bridge = std::nullopt, .memory_mib = 0, .started_at = 0, .root_stamp = {}};
    if (json.contains("bridge")) running.bridge = process_from(json["bridge"]);
    if (const auto at = json.find("memory_mib"); at != json.end() && at->is_number_unsigned())
        running.memory_mib = at->get<uint64_t>();
    if (const auto at = json.find("started_at"); at != json.end() && at->is_number_integer())
        running.started_at = at->get<int64_t>();
    if (const auto at = json.find("root_stamp"); at != json.end() && at->is_string())
        running.root_stamp = at->get<std::string>();
    return std::optional<RunningRecord>(std::move(running));
}

Result<void> StateFolder::record(const RunningRecord& running) const {
    Json json = {{"qemu", process_json(running.qemu)},
                 {"memory_mib", running.memory_mib},
                 {"started_at", running.started_at},
                 {"root_stamp", running.root_stamp}};
    if (running.bridge) json["bridge"] = process_json(*running.bridge);
    return sys::replace_file(file(kRunningFile), as_byte_view(json.dump(2) + "\n"), 0600);
}

void StateFolder::forget_running() const {
    ::unlink(file(kRunningFile).c_str());
}

Result<void> StateFolder::prepare_disk(uint64_t size_mib) const {
    const auto disk = TRY(sys::open(file(kStateDisk), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    const uint64_t size = TRY(sys::file_size(disk));
    if (size == 0) TRY(sys::truncate(disk, size_mib * 1024 * 1024));
    return {};
}

std::string StateFolder::last_lines(const std::string& name, size_t lines) const {
    constexpr size_t kTail = 16 * 1024;
    const auto log = sys::open(file(name), O_RDONLY);
    if (!log) return {};
    const auto size = sys::file_size(*log);
    if (!size) return {};
    Bytes content(std::min<uint64_t>(*size, kTail));
    if (!sys::read_exact_at(*log, content, *size - content.size())) return {};
    std::string text(as_text(content));
    std::erase(text, '\r');
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    size_t at = text.size();
    for (size_t i = 0; i < lines && at != std::string::npos && at > 0; ++i)
        at = text.rfind('\n', at - 1);
    return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

}  // namespace alcove::embedded
