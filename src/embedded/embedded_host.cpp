// SPDX-License-Identifier: Apache-2.0
#include "embedded/embedded_host.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "embedded/qemu_command.hpp"
#include "embedded/qmp.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kRunningFile = "running.json";
constexpr const char* kQemuLog = "qemu.log";
constexpr const char* kBridgePidFile = "bridge.pid";
constexpr const char* kStateDisk = "state.img";
constexpr size_t kLongestSocketPath = 107;  // sun_path, less its NUL
constexpr uint64_t kLeastMemoryMib = 1024;
constexpr uint64_t kLeastFreeDiskMib = 512;
constexpr uint64_t kMaxCollected = 1024 * 1024;

Failure missing(const std::string& what, const std::string& remedy) {
    return fail(ErrorCode::MissingDependency, what + ". " + remedy);
}

// A value of /proc/meminfo or /proc/<pid>/status in MiB; 0 when it is not there.
uint64_t proc_mib(const std::string& path, const std::string& name) {
    const auto content = sys::read_file(path, 64 * 1024);
    if (!content) return 0;
    const std::string text(as_text(*content));
    const size_t at = text.find(name + ":");
    if (at == std::string::npos) return 0;
    return std::strtoull(text.c_str() + at + name.size() + 1, nullptr, 10) / 1024;
}

std::string tail_of(const std::string& path, size_t lines) {
    constexpr size_t kTail = 16 * 1024;
    const auto fd = sys::open(path, O_RDONLY);
    if (!fd) return {};
    const auto size = sys::file_size(*fd);
    if (!size) return {};
    Bytes content(std::min<uint64_t>(*size, kTail));
    if (!sys::read_exact_at(*fd, content, *size - content.size())) return {};
    std::string text(as_text(content));
    std::erase(text, '\r');
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    size_t at = text.size();
    for (size_t i = 0; i < lines && at != std::string::npos && at > 0; ++i)
        at = text.rfind('\n', at - 1);
    return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

Result<pid_t> read_pid_file(const std::string& path) {
    const auto content = TRY(sys::read_file(path, 64));
    pid_t pid = 0;
    const auto text = as_text(content);
    if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc() || pid <= 0)
        return fail(ErrorCode::InvalidMessage, path + " holds no process number");
    return pid;
}

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

Result<void> check_serial(const std::string& serial) {
    const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    if (serial.empty() || serial.size() > 20 || !std::all_of(serial.begin(), serial.end(), allowed) ||
        serial == kStateSerial)
        return fail(ErrorCode::InvalidArgument,
                    "an image's name has 1 to 20 of a-z, 0-9 and '-': '" + serial + "'");
    return {};
}

// QEMU's words without the warning that every start of this machine brings.
std::string qemu_words(const std::string& errors) {
    std::string out;
    for (size_t at = 0; at < errors.size();) {
        const size_t end = std::min(errors.find('\n', at), errors.size());
        const std::string line = errors.substr(at, end - at);
        if (!line.empty() && line.find("warning:") == std::string::npos)
            out += (out.empty() ? "" : "; ") + line;
        at = end + 1;
    }
    return out.empty() ? "it gave no reason" : out;
}

// Waits, and collects it in case it is this process's child.
bool end_of(const ProcessId& process, milliseconds timeout) {
    const bool ended = wait_for_end(process, timeout);
    if (ended) ::waitpid(process.pid, nullptr, WNOHANG);
    return ended;
}

std::string image_node(const std::string& serial) {
    return "image-" + serial;
}

}  // namespace

// ---- the folder -----------------------------------------------------------------------------------------

Result<std::string> EmbeddedHost::default_folder() {
    if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/')
        return std::string(state) + "/alcove/host";
    if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
        return std::string(home) + "/.local/state/alcove/host";
    return fail(ErrorCode::InvalidArgument,
                "neither XDG_STATE_HOME nor HOME says where state is kept; set one of them");
}

Result<EmbeddedHost> EmbeddedHost::open(HostConfig config) {
    if (config.folder.empty()) {
        auto folder = TRY(default_folder());
        config.folder = std::move(folder);
    }
    while (config.folder.size() > 1 && config.folder.back() == '/')
        config.folder.pop_back();
    size_t longest = std::max(std::string(kConnectSocket).size(), std::string(kPortSocket).size());
    for (const auto& forward : config.forwards)
        longest = std::max(longest, forward.socket_name.size());
    if (config.folder.size() + 1 + longest > kLongestSocketPath)
        return fail(ErrorCode::PathTooLong,
                    "the state folder's path is too long for Unix sockets, which have " +
                        std::to_string(kLongestSocketPath) + " bytes for a path: " + config.folder +
                        ". Set XDG_STATE_HOME to a folder with a shorter path");

    const size_t slash = config.folder.rfind('/');
    if (slash != std::string::npos && slash > 0)
        TRY(sys::make_directories(config.folder.substr(0, slash), 0700));
    TRY(sys::make_directories(config.folder, 0700));
    const auto directory = TRY(sys::open(config.folder, O_RDONLY | O_DIRECTORY));
    const auto info = TRY(sys::stat(directory));
    if (info.st_uid != ::geteuid())
        return fail(ErrorCode::PermissionDenied,
                    "the state folder " + config.folder + " belongs to another user");
    if ((info.st_mode & 077) != 0)
        return fail(ErrorCode::PermissionDenied,
                    "others may enter the state folder; run: chmod 700 '" + config.folder + "'");
    return EmbeddedHost(std::move(config));
}

Result<Fd> EmbeddedHost::take_lock() const {
    const auto deadline = Clock::now() + seconds(60);
    auto lock = TRY(sys::open(config_.folder + "/lock", O_RDWR | O_CREAT, 0600));
    while (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(errno, "locking " + config_.folder + "/lock");
        if (Clock::now() > deadline)
            return fail(ErrorCode::Busy,
                        "another command is starting or stopping the embedded host; try again later");
        std::this_thread::sleep_for(milliseconds(50));
    }
    return lock;
}

Result<std::optional<EmbeddedHost::Running>> EmbeddedHost::read_running() const {
    const auto content = sys::read_file(config_.folder + "/" + kRunningFile, 64 * 1024);
    if (!content && content.error().code() == ErrorCode::NotFound) return std::optional<Running>();
    if (!content) return Failure{content.error()};
    const Json json = Json::parse(content->begin(), content->end(), nullptr, /*allow_exceptions=*/false);
    const auto qemu = json.is_object() && json.contains("qemu") ? process_from(json["qemu"]) : std::nullopt;
    // A file of ours that makes no sense is as good as none: the disk's own lock still forbids a second QEMU.
    if (!qemu) return std::optional<Running>();
    Running running{.qemu = *qemu, .bridge = std::nullopt, .memory_mib = 0, .started_at = 0};
    if (json.contains("bridge")) running.bridge = process_from(json["bridge"]);
    if (const auto at = json.find("memory_mib"); at != json.end() && at->is_number_unsigned())
        running.memory_mib = at->get<uint64_t>();
    if (const auto at = json.find("started_at"); at != json.end() && at->is_number_integer())
        running.started_at = at->get<int64_t>();
    return std::optional<Running>(std::move(running));
}

Result<void> EmbeddedHost::write_running(const Running& running) const {
    Json json = {{"qemu", process_json(running.qemu)},
                 {"memory_mib", running.memory_mib},
                 {"started_at", running.started_at}};
    if (running.bridge) json["bridge"] = process_json(*running.bridge);
    return sys::replace_file(config_.folder + "/" + kRunningFile, as_byte_view(json.dump(2) + "\n"), 0600);
}

void EmbeddedHost::forget_running() const {
    for (const char* name : {kRunningFile, kBridgePidFile, kQmpSocket, kPortSocket, kConnectSocket})
        ::unlink(socket_path(name).c_str());
    for (const auto& forward : config_.forwards)
        ::unlink(socket_path(forward.socket_name).c_str());
}

// ---- start ----------------------------------------------------------------------------------------------

Result<void> EmbeddedHost::check_requirements() {
    if (!find_program(config_.qemu))
        return missing("QEMU is missing (" + config_.qemu + ")",
                       "Install the package qemu-system-x86 (version 10, from bookworm-backports)");
    for (const auto& [path, what] :
         {std::pair(&config_.kernel, "kernel"), std::pair(&config_.initrd, "root image")}) {
        if (path->empty() || ::access(path->c_str(), R_OK) != 0)
            return missing("the embedded host's " + std::string(what) + " is missing (" + *path + ")",
                           "Run 'tools/dev build', which makes it");
    }
    if (config_.bridge_program.empty()) {
        std::string self(4096, '\0');
        const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
        self.resize(length > 0 ? static_cast<size_t>(length) : 0);
        const std::string beside = self.substr(0, self.rfind('/') + 1) + "alcove-bridge";
        config_.bridge_program = ::access(beside.c_str(), X_OK) == 0 ? beside : "alcove-bridge";
    }
    if (!find_program(config_.bridge_program))
        return missing("the program alcove-bridge is missing", "It belongs beside the program alcove");

    if (config_.memory_mib < kLeastMemoryMib)
        return fail(ErrorCode::InvalidArgument,
                    "the embedded host needs at least " + std::to_string(kLeastMemoryMib) +
                        " MiB of memory, " + std::to_string(config_.memory_mib) + " MiB were asked for");
    const uint64_t total = proc_mib("/proc/meminfo", "MemTotal");
    if (total != 0 && total < config_.memory_mib)
        return fail(ErrorCode::NoFreeMemory, "the embedded host is to have " +
                                                 std::to_string(config_.memory_mib) +
                                                 " MiB of memory, this machine has " + std::to_string(total) +
                                                 " MiB; give the host less memory");
    struct statvfs disk {};
    if (::statvfs(config_.folder.c_str(), &disk) == 0) {
        const uint64_t free_mib = disk.f_bavail * disk.f_frsize / 1024 / 1024;
        if (free_mib < kLeastFreeDiskMib)
            return fail(ErrorCode::NoSpace, "only " + std::to_string(free_mib) + " MiB are free at " +
                                                config_.folder + ", the embedded host's disk needs " +
                                                std::to_string(kLeastFreeDiskMib) +
                                                " MiB; make room there, or set XDG_STATE_HOME");
    }
    return {};
}

Result<void> EmbeddedHost::prepare_state_disk() const {
    const std::string path = config_.folder + "/" + kStateDisk;
    const auto disk = TRY(sys::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    const uint64_t size = TRY(sys::file_size(disk));
    // Sparse; the host makes its file system when it finds none.
    if (size == 0) TRY(sys::truncate(disk, config_.state_disk_mib * 1024 * 1024));
    return {};
}

Result<ProcessId> EmbeddedHost::start_qemu() const {
    const std::string console = config_.folder + "/" + kConsoleFile;
    ::rename(console.c_str(), (console + ".1").c_str());  // the last run's, for looking at a crash
    const auto log_file =
        TRY(sys::open(config_.folder + "/" + kQemuLog, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
    SpawnOptions options;
    options.arguments = qemu_arguments(QemuMachine{
        .program = config_.qemu,
        .kernel = config_.kernel,
        .initrd = config_.initrd,
        .state_disk = config_.folder + "/" + kStateDisk,
        .folder = config_.folder,
        .memory_mib = config_.memory_mib,
        .extra_command_line = config_.extra_command_line,
        .extra_arguments = config_.extra_qemu_arguments,
    });
    options.descriptors = {-1, log_file.get(), log_file.get()};
    options.new_session = true;
    const pid_t pid = TRY(spawn(options));
    auto process = identify(pid);
    if (!process) return qemu_failed();
    return process;
}

// QEMU is set up when its control socket answers.
Result<void> EmbeddedHost::wait_for_qemu(const ProcessId& qemu) const {
    const auto deadline = Clock::now() + seconds(30);
    while (!QmpClient::connect(socket_path(kQmpSocket), seconds(5))) {
        if (!is_running(qemu)) return qemu_failed();
        if (Clock::now() > deadline) return fail(ErrorCode::Timeout, "QEMU's control socket does not answer");
        std::this_thread::sleep_for(milliseconds(20));
    }
    return {};
}

Failure EmbeddedHost::qemu_failed() const {
    const std::string words = qemu_words(tail_of(config_.folder + "/" + kQemuLog, 20));
    if (words.find("Failed to get \"write\" lock") != std::string::npos)
        return fail(ErrorCode::Busy, "another QEMU holds the embedded host's disk " + config_.folder + "/" +
                                         kStateDisk + "; end that process first");
    return fail(ErrorCode::EmbeddedHostFailed, "QEMU did not start: " + words);
}

Result<ProcessId> EmbeddedHost::start_bridge() const {
    std::vector<std::string> arguments = {config_.bridge_program, "outer", "--folder", config_.folder};
    for (const auto& forward : config_.forwards) {
        arguments.emplace_back("--forward");
        arguments.push_back(forward.socket_name + "=" + forward.target);
    }
    const auto finished = TRY(run(arguments, seconds(10)));
    if (finished.exit_code != 0)
        return fail(ErrorCode::EmbeddedHostFailed,
                    "alcove-bridge did not start: " + qemu_words(finished.errors));
    const pid_t pid = TRY(read_pid_file(config_.folder + "/" + kBridgePidFile));
    return identify(pid).context("alcove-bridge ended at once; see " + config_.folder + "/bridge.log");
}

Result<void> EmbeddedHost::start() {
    const auto lock = TRY(take_lock());
    auto before = TRY(read_running());
    TRY(check_requirements());
    if (before && is_running(before->qemu)) {
        if (before->bridge && is_running(*before->bridge)) return {};
        auto bridge = TRY(start_bridge());
        before->bridge = std::move(bridge);
        return write_running(*before);
    }
    forget_running();
    TRY(prepare_state_disk());
    Running running;
    running.memory_mib = config_.memory_mib;
    running.started_at = ::time(nullptr);
    auto qemu = TRY(start_qemu());
    running.qemu = std::move(qemu);
    // Written before anything else can fail: what runs must be found again.
    const auto started = [&]() -> Result<void> {
        TRY(write_running(running));
        TRY(wait_for_qemu(running.qemu));
        auto bridge = TRY(start_bridge());
        running.bridge = std::move(bridge);
        return write_running(running);
    }();
    if (started) return {};
    TRY(send_signal(running.qemu, SIGKILL));
    end_of(running.qemu, seconds(5));
    forget_running();
    return started;
}

std::string EmbeddedHost::last_words() const {
    const std::string words = tail_of(config_.folder + "/" + kConsoleFile, 8);
    return words.empty() ? "its console is empty" : "its console's last lines:\n" + words;
}

Result<void> EmbeddedHost::wait_ready(milliseconds timeout, const Progress& progress,
                                      const std::string& target) {
    const auto start = Clock::now();
    auto next_report = start + milliseconds(500);
    std::string what = "starting the embedded host";
    while (true) {
        const auto stream = connect_through(config_.folder, target, seconds(2));
        if (stream) return {};
        const Error& why = stream.error();
        if (why.code() == ErrorCode::VersionMismatch) return Failure{why};
        const auto running = TRY(read_running());
        if (!running || !is_running(running->qemu))
            return fail(ErrorCode::EmbeddedHostFailed,
                        "the embedded host ended while it started; " + last_words());
        if (!running->bridge || !is_running(*running->bridge))
            return fail(ErrorCode::EmbeddedHostFailed,
                        "the bridge to the embedded host ended; see " + config_.folder + "/bridge.log");
        const auto elapsed = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
        if (elapsed >= timeout)
            return fail(ErrorCode::Timeout, "the embedded host was not ready after " +
                                                std::to_string(elapsed.count() / 1000) + " s (" +
                                                why.to_string() + "); " + last_words());
        what = why.code() == ErrorCode::Busy ? "the embedded host boots"
                                             : "the embedded host starts its services";
        if (progress && Clock::now() >= next_report) {
            progress(what, elapsed);
            next_report = Clock::now() + milliseconds(500);
        }
        std::this_thread::sleep_for(milliseconds(100));
    }
}

// ---- stop and status ------------------------------------------------------------------------------------

Result<void> EmbeddedHost::stop(milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    const auto lock = TRY(take_lock());
    const auto running = TRY(read_running());
    if (!running) return {};
    // The last seconds are for the ways that need nobody's help.
    constexpr auto kReserve = seconds(5);
    if (is_running(running->qemu)) {
        const auto asked = connect_through(config_.folder, "poweroff", seconds(2));
        const auto patience = std::chrono::duration_cast<milliseconds>(deadline - kReserve - Clock::now());
        if (!asked || !end_of(running->qemu, std::max(patience, milliseconds(1000)))) {
            log::warn("the embedded host does not power off by itself; it is ended by force");
            auto qmp = QmpClient::connect(socket_path(kQmpSocket), seconds(2));
            if (qmp) static_cast<void>(qmp->execute("quit").has_value());  // it may end before it answers
            if (!qmp || !end_of(running->qemu, seconds(2))) TRY(send_signal(running->qemu, SIGKILL));
            if (!end_of(running->qemu, seconds(5)))
                return fail(ErrorCode::EmbeddedHostFailed,
                            "process " + std::to_string(running->qemu.pid) + " (QEMU) can not be ended");
        }
    }
    // The bridge ends with QEMU.
    if (running->bridge && !end_of(*running->bridge, seconds(2))) TRY(send_signal(*running->bridge, SIGKILL));
    forget_running();
    return {};
}

Result<HostStatus> EmbeddedHost::status() {
    HostStatus status;
    const auto running = TRY(read_running());
    if (!running) return status;
    if (!is_running(running->qemu)) {
        status.crashed = true;
        return status;
    }
    status.running = true;
    status.pid = running->qemu.pid;
    status.memory_mib = running->memory_mib;
    status.uptime = seconds(std::max<int64_t>(::time(nullptr) - running->started_at, 0));
    status.resident_mib = proc_mib("/proc/" + std::to_string(status.pid) + "/status", "VmRSS");
    if (const auto stream = connect_through(config_.folder, "status", seconds(2))) {
        Bytes line(4096);
        const auto transfer = sys::read_some(*stream, line);
        if (transfer) line.resize(transfer->bytes);
        const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
        status.answering = json.is_object();
        if (status.answering) {
            if (const auto at = json.find("version"); at != json.end() && at->is_string())
                status.agent_version = at->get<std::string>();
            if (const auto at = json.find("memory_available_mib");
                at != json.end() && at->is_number_unsigned())
                status.available_mib = at->get<uint64_t>();
        }
    }
    // Attached images are QEMU's to tell; a control socket in use by another command is no error here.
    auto qmp = QmpClient::connect(socket_path(kQmpSocket), seconds(2));
    const auto nodes = qmp ? qmp->execute("query-named-block-nodes", {{"flat", true}}) : Result<Json>(Json());
    if (nodes && nodes->is_array()) {
        for (const auto& node : *nodes) {
            const auto name = node.is_object() ? node.find("node-name") : node.end();
            if (name == node.end() || !name->is_string()) continue;
            const auto text = name->get<std::string>();
            if (text.starts_with(image_node(""))) status.images.push_back(text.substr(image_node("").size()));
        }
    }
    return status;
}

// ---- what runs inside -----------------------------------------------------------------------------------

Result<void> EmbeddedHost::require_running() const {
    const auto running = TRY(read_running());
    if (running && is_running(running->qemu)) return {};
    return fail(ErrorCode::EmbeddedHostNotRunning,
                "the embedded host does not run; start it with 'alcove host start'");
}

Result<Fd> EmbeddedHost::open_stream(const std::string& target) {
    TRY(require_running());
    return connect_through(config_.folder, target, seconds(10));
}

Result<int> EmbeddedHost::exec(const ExecRequest& request, const ExecStreams& streams) {
    const auto stream = TRY(open_stream("exec"));
    return run_exec(stream, request, streams);
}

Result<EmbeddedHost::Output> EmbeddedHost::exec_collect(const std::vector<std::string>& arguments) {
    const auto output = TRY(sys::memfd("exec-output"));
    const auto errors = TRY(sys::memfd("exec-errors"));
    ExecRequest request;
    request.arguments = arguments;
    const int exit_code =
        TRY(exec(request, ExecStreams{.input = -1, .output = output.get(), .errors = errors.get()}));
    Output collected{.exit_code = exit_code, .output = {}, .errors = {}};
    for (const auto& [from, to] :
         {std::pair(&output, &collected.output), std::pair(&errors, &collected.errors)}) {
        const uint64_t size = TRY(sys::file_size(*from));
        Bytes content(std::min(size, kMaxCollected));
        TRY(sys::read_exact_at(*from, content, 0));
        *to = std::string(as_text(content));
    }
    return collected;
}

// ---- images ---------------------------------------------------------------------------------------------

Result<EmbeddedHost::AttachedImage> EmbeddedHost::attach_image(const std::string& serial, const Fd& image) {
    TRY(check_serial(serial));
    TRY(require_running());
    const uint64_t size = TRY(sys::file_size(image));
    if (size == 0) return fail(ErrorCode::InvalidArgument, "the image is empty");
    // Opened again for reading only: QEMU takes from a set the descriptor whose access mode fits.
    const auto readable = TRY(sys::open("/proc/self/fd/" + std::to_string(image.get()), O_RDONLY)
                                  .context("opening the image for reading"));

    auto qmp = TRY(QmpClient::connect(socket_path(kQmpSocket), seconds(10)));
    const auto added = TRY(qmp.execute("add-fd", {{"opaque", image_node(serial)}}, &readable));
    const auto set = added.is_object() && added.contains("fdset-id") ? added["fdset-id"] : Json(0);
    const Json remove_set = {{"fdset-id", set}};
    const std::string filename = "/dev/fdset/" + set.dump();
    const auto node = qmp.execute(
        "blockdev-add",
        {{"driver", "raw"},
         {"node-name", image_node(serial)},
         {"read-only", true},
         {"file", {{"driver", "file"}, {"filename", filename}, {"read-only", true}, {"locking", "off"}}}});
    // From now on QEMU's node holds the descriptor, or nobody does.
    static_cast<void>(qmp.execute("remove-fd", remove_set).has_value());
    if (!node) return Failure{node.error()};
    const auto device = qmp.execute("device_add", {{"driver", "virtio-blk-pci"},
                                                   {"id", "disk-" + serial},
                                                   {"drive", image_node(serial)},
                                                   {"serial", serial}});
    if (!device) {
        static_cast<void>(qmp.execute("blockdev-del", {{"node-name", image_node(serial)}}).has_value());
        return Failure{device.error()};
    }
    const auto found = exec_collect({"host-disk", "wait", serial});
    if (!found || found->exit_code != 0) {
        static_cast<void>(detach_image(serial).has_value());
        if (!found) return Failure{found.error()};
        return fail(ErrorCode::EmbeddedHostFailed,
                    "the disk '" + serial + "' did not appear inside: " + found->errors);
    }
    return AttachedImage{.path = "/dev/disk/by-alcove/" + serial, .size = size};
}

Result<void> EmbeddedHost::detach_image(const std::string& serial) {
    TRY(check_serial(serial));
    TRY(require_running());
    const auto forgotten = TRY(exec_collect({"host-disk", "forget", serial}));
    if (forgotten.exit_code != 0)
        return fail(ErrorCode::Busy, "the disk '" + serial + "' is still in use inside: " + forgotten.errors);
    auto qmp = TRY(QmpClient::connect(socket_path(kQmpSocket), seconds(10)));
    TRY(qmp.execute("device_del", {{"id", "disk-" + serial}}));
    TRY(qmp.wait_event("DEVICE_DELETED", "device", "disk-" + serial, seconds(20)));
    TRY(qmp.execute("blockdev-del", {{"node-name", image_node(serial)}}));
    return {};
}

}  // namespace alcove::embedded
