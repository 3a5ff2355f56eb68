// SPDX-License-Identifier: Apache-2.0
#include "embedded/process.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/system.hpp"

extern char** environ;

namespace alcove::embedded {

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMaxErrors = 64 * 1024;

Result<std::string> boot_id() {
    const auto content = TRY(sys::read_file("/proc/sys/kernel/random/boot_id", 4096));
    std::string text(as_text(content));
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text;
}

Result<Fd> open_pidfd(pid_t pid) {
    Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!fd.is_open())
        return fail_errno(errno, "pidfd_open", errno == ESRCH ? ErrorCode::NotFound : ErrorCode::SystemCall);
    return fd;
}

int poll_one(const Fd& fd, std::chrono::milliseconds timeout) {
    pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(timeout.count(), 0)));
}

// The C library's spawn structures, cleaned up on every path.
struct SpawnActions {
    SpawnActions() {
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawnattr_init(&attributes);
    }
    ~SpawnActions() {
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
};

std::vector<char*> pointers(const std::vector<std::string>& words) {
    std::vector<char*> out;
    for (const auto& word : words)
        out.push_back(const_cast<char*>(word.c_str()));
    out.push_back(nullptr);
    return out;
}

}  // namespace

std::optional<uint64_t> parse_start_time(const std::string& stat_line) {
    // pid (comm) state ppid ... : comm may hold anything, also spaces and parentheses; the last ')' ends it.
    const size_t paren = stat_line.rfind(')');
    if (paren == std::string::npos || paren + 2 >= stat_line.size()) return std::nullopt;
    const char state = stat_line[paren + 2];
    if (state == 'Z' || state == 'X') return std::nullopt;
    size_t at = paren + 2;
    for (int field = 3; field < 22; ++field) {
        at = stat_line.find(' ', at);
        if (at == std::string::npos) return std::nullopt;
        ++at;
    }
    uint64_t value = 0;
    const auto parsed = std::from_chars(stat_line.data() + at, stat_line.data() + stat_line.size(), value);
    if (parsed.ec != std::errc()) return std::nullopt;
    return value;
}

Result<ProcessId> identify(pid_t pid) {
    if (pid <= 0) return fail(ErrorCode::NotFound, "no process has the number " + std::to_string(pid));
    const auto content = sys::read_file("/proc/" + std::to_string(pid) + "/stat", 64 * 1024);
    const auto start_time = content ? parse_start_time(std::string(as_text(*content))) : std::nullopt;
    if (!start_time) return fail(ErrorCode::NotFound, "process " + std::to_string(pid) + " is not running");
    auto boot = TRY(boot_id());
    return ProcessId{.pid = pid, .start_time = *start_time, .boot_id = std::move(boot)};
}

bool is_running(const ProcessId& process) {
    const auto now = identify(process.pid);
    return now && *now == process;
}

Result<void> send_signal(const ProcessId& process, int signal) {
    const auto fd = open_pidfd(process.pid);
    // Checked after the pidfd was opened: it can only mean the process that was checked.
    if (!fd || !is_running(process)) return {};
    if (::syscall(SYS_pidfd_send_signal, fd->get(), signal, nullptr, 0) < 0 && errno != ESRCH)
        return fail_errno(errno, "signalling process " + std::to_string(process.pid),
                          ErrorCode::PermissionDenied);
    return {};
}

bool wait_for_end(const ProcessId& process, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    const auto fd = open_pidfd(process.pid);
    if (!fd || !is_running(process)) return true;
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        if (poll_one(*fd, left) > 0 || !is_running(process)) return true;
        if (left.count() <= 0) return false;
    }
}

Result<pid_t> spawn(const SpawnOptions& options) {
    ALCOVE_CHECK(!options.arguments.empty(), "a program to start has a name");
    SpawnActions actions;
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (options.new_session || !options.terminal.empty())
        flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
    ::posix_spawnattr_setsigmask(&actions.attributes, &none);
    ::posix_spawnattr_setsigdefault(&actions.attributes, &all);
    ::posix_spawnattr_setflags(&actions.attributes, flags);

    // Targets 0, 1, 2 ... could be sources of later ones: sources are first copied above all targets.
    std::vector<Fd> copies;
    const size_t count = std::max<size_t>(options.descriptors.size(), 3);
    for (size_t target = 0; target < count; ++target) {
        const int number = static_cast<int>(target);
        const int source = target < options.descriptors.size() ? options.descriptors[target] : -1;
        if (target < 3 && !options.terminal.empty()) {
            // A session without a terminal takes the first one that it opens.
            ::posix_spawn_file_actions_addopen(&actions.files, number, options.terminal.c_str(), O_RDWR, 0);
        } else if (source < 0) {
            ::posix_spawn_file_actions_addopen(&actions.files, number, "/dev/null", O_RDWR, 0);
        } else {
            Fd copy(::fcntl(source, F_DUPFD_CLOEXEC, static_cast<int>(count)));
            if (!copy.is_open()) return fail_errno(errno, "duplicating a descriptor for a child");
            ::posix_spawn_file_actions_adddup2(&actions.files, copy.get(), number);
            copies.push_back(std::move(copy));
        }
    }
    ::posix_spawn_file_actions_addclosefrom_np(&actions.files, static_cast<int>(count));

    auto arguments = pointers(options.arguments);
    auto environment = pointers(options.environment);
    pid_t pid = 0;
    const int error =
        ::posix_spawnp(&pid, arguments[0], &actions.files, &actions.attributes, arguments.data(),
                       options.environment.empty() ? environ : environment.data());
    if (error != 0)
        return fail_errno(error, "starting " + options.arguments[0],
                          error == ENOENT ? ErrorCode::NotFound : ErrorCode::SystemCall);
    return pid;
}

Result<Finished> run(const std::vector<std::string>& arguments, std::chrono::milliseconds timeout) {
    SpawnOptions options;
    options.arguments = arguments;
    return run(std::move(options), timeout);
}

Result<Finished> run(SpawnOptions options, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    auto errors = TRY(sys::pipe());
    options.descriptors.resize(std::max<size_t>(options.descriptors.size(), STDERR_FILENO + 1), -1);
    options.descriptors[STDERR_FILENO] = errors.second.get();
    const pid_t pid = TRY(spawn(options));
    errors.second.reset();
    const auto pidfd = open_pidfd(pid);  // our own child: it stays there until it is waited for
    if (!pidfd) return Failure{pidfd.error()};

    Finished finished;
    Bytes buffer(4096);
    bool ended = false;
    // A daemon may keep the pipe open for ever, so the program's end, not the pipe's, is what is waited for.
    while (!ended) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
            return fail(ErrorCode::Timeout, options.arguments[0] + " did not come to an end within " +
                                                std::to_string(timeout.count()) + " ms");
        }
        pollfd waiting[2] = {{.fd = pidfd->get(), .events = POLLIN, .revents = 0},
                             {.fd = errors.first.get(), .events = POLLIN, .revents = 0}};
        ::poll(waiting, 2, static_cast<int>(left.count()));
        ended = waiting[0].revents != 0;
        while (errors.first.is_open() && poll_one(errors.first, std::chrono::milliseconds(0)) > 0) {
            const auto got = sys::read_some(errors.first, buffer);
            if (!got || got->bytes == 0) {
                errors.first.reset();
            } else if (finished.errors.size() < kMaxErrors) {
                finished.errors.append(as_text(ByteView(buffer).first(got->bytes)));
            }
        }
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    finished.exit_code = exit_code_of(status);
    return finished;
}

int exit_code_of(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Result<std::string> find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) {
        if (::access(name.c_str(), X_OK) == 0) return name;
        return fail(ErrorCode::NotFound, name + " is not an executable file");
    }
    const char* variable = std::getenv("PATH");
    const std::string path = variable != nullptr ? variable : "/usr/bin:/bin";
    for (size_t start = 0; start <= path.size();) {
        const size_t end = std::min(path.find(':', start), path.size());
        const std::string candidate = path.substr(start, end - start) + "/" + name;
        if (end > start && ::access(candidate.c_str(), X_OK) == 0) return candidate;
        start = end + 1;
    }
    return fail(ErrorCode::NotFound, "no program " + name + " in PATH");
}

}  // namespace alcove::embedded
