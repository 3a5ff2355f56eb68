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
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "embedded/qemu_command.hpp"
#include "embedded/qmp.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/memory_lines.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kQemuLog = "qemu.log";
constexpr const char* kBridgePidFile = "bridge.pid";
constexpr uint64_t kLeastMemoryMib = 1024;
constexpr uint64_t kLeastFreeDiskMib = 512;
constexpr uint64_t kMaxCollected = 1024 * 1024;

Failure missing(const std::string& what, const std::string& remedy) {
    return fail(ErrorCode::MissingDependency, what + ". " + remedy);
}

uint64_t mib_of(const std::string& path, std::string_view name) {
    return memory_line_of(path, name).value_or(0) / 1_MiB;
}

Result<pid_t> read_pid_file(const std::string& path) {
    const auto content = TRY(sys::read_file(path, 64));
    pid_t pid = 0;
    const auto text = as_text(content);
    if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc() || pid <= 0)
        return fail(ErrorCode::InvalidMessage, path + " holds no process number");
    return pid;
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

Result<EmbeddedHost> EmbeddedHost::open(HostConfig config) {
    std::vector<std::string> sockets = {kConnectSocket, kPortSocket};
    for (const auto& forward : config.forwards)
        sockets.push_back(forward.socket_name);
    if (config.folder.empty()) {
        auto path = TRY(StateFolder::default_path());
        config.folder = std::move(path);
    }
    auto folder = TRY(StateFolder::open(config.folder, sockets));
    return EmbeddedHost(std::move(config), std::move(folder));
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
    const uint64_t total = mib_of("/proc/meminfo", "MemTotal");
    if (total != 0 && total < config_.memory_mib)
        return fail(ErrorCode::NoFreeMemory, "the embedded host is to have " +
                                                 std::to_string(config_.memory_mib) +
                                                 " MiB of memory, this machine has " + std::to_string(total) +
                                                 " MiB; give the host less memory");
    struct statvfs disk {};
    if (::statvfs(folder_.path().c_str(), &disk) == 0) {
        const uint64_t free_mib = disk.f_bavail * disk.f_frsize / 1024 / 1024;
        if (free_mib < kLeastFreeDiskMib)
            return fail(ErrorCode::NoSpace, "only " + std::to_string(free_mib) + " MiB are free at " +
                                                folder_.path() + ", the embedded host's disk needs " +
                                                std::to_string(kLeastFreeDiskMib) +
                                                " MiB; make room there, or set XDG_STATE_HOME");
    }
    return {};
}

Result<ProcessId> EmbeddedHost::start_qemu() const {
    const std::string console = folder_.file(kConsoleFile);
    ::rename(console.c_str(), (console + ".1").c_str());  // the last run's, for looking at a crash
    const auto log_file =
        TRY(sys::open(folder_.file(kQemuLog), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
    SpawnOptions options;
    options.arguments = qemu_arguments(QemuMachine{
        .program = config_.qemu,
        .kernel = config_.kernel,
        .initrd = config_.initrd,
        .state_disk = folder_.file(kStateDisk),
        .folder = folder_.path(),
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
    const std::string words = qemu_words(folder_.last_lines(kQemuLog, 20));
    if (words.find("Failed to get \"write\" lock") != std::string::npos)
        return fail(ErrorCode::Busy, "another QEMU holds the embedded host's disk " +
                                         folder_.file(kStateDisk) + "; end that process first");
    return fail(ErrorCode::EmbeddedHostFailed, "QEMU did not start: " + words);
}

Result<ProcessId> EmbeddedHost::start_bridge() const {
    std::vector<std::string> arguments = {config_.bridge_program, "outer", "--folder", folder_.path()};
    for (const auto& forward : config_.forwards) {
        arguments.emplace_back("--forward");
        arguments.push_back(forward.socket_name + "=" + forward.target);
    }
    const auto finished = TRY(run(arguments, seconds(10)));
    if (finished.exit_code != 0)
        return fail(ErrorCode::EmbeddedHostFailed,
                    "alcove-bridge did not start: " + qemu_words(finished.errors));
    const pid_t pid = TRY(read_pid_file(folder_.file(kBridgePidFile)));
    return identify(pid).context("alcove-bridge ended at once; see " + folder_.file("bridge.log"));
}

// After the end of everything that ran: a left-over socket would only mislead.
void EmbeddedHost::clear() const {
    folder_.forget_running();
    for (const char* name : {kBridgePidFile, kQmpSocket, kPortSocket, kConnectSocket})
        ::unlink(socket_path(name).c_str());
    for (const auto& forward : config_.forwards)
        ::unlink(socket_path(forward.socket_name).c_str());
}

Result<void> EmbeddedHost::start() {
    const auto lock = TRY(folder_.lock());
    auto before = TRY(folder_.running());
    TRY(check_requirements());
    if (before && is_running(before->qemu)) {
        if (before->bridge && is_running(*before->bridge)) return {};
        auto bridge = TRY(start_bridge());
        before->bridge = std::move(bridge);
        return folder_.record(*before);
    }
    clear();
    TRY(folder_.prepare_disk(config_.state_disk_mib));
    RunningRecord running;
    running.memory_mib = config_.memory_mib;
    running.started_at = ::time(nullptr);
    running.root_stamp = root_stamp();
    auto qemu = TRY(start_qemu());
    running.qemu = std::move(qemu);
    // Written before anything else can fail: what runs must be found again.
    const auto started = [&]() -> Result<void> {
        TRY(folder_.record(running));
        TRY(wait_for_qemu(running.qemu));
        auto bridge = TRY(start_bridge());
        running.bridge = std::move(bridge);
        return folder_.record(running);
    }();
    if (started) return {};
    TRY(send_signal(running.qemu, SIGKILL));
    end_of(running.qemu, seconds(5));
    clear();
    return started;
}

// Size and time of change: equal only for the very file the host was started from.
std::string EmbeddedHost::root_stamp() const {
    struct stat info {};
    if (::stat(config_.initrd.c_str(), &info) != 0) return {};
    return std::to_string(info.st_size) + "-" + std::to_string(info.st_mtim.tv_sec) + "." +
           std::to_string(info.st_mtim.tv_nsec);
}

std::string EmbeddedHost::last_words() const {
    const std::string words = folder_.last_lines(kConsoleFile, 8);
    return words.empty() ? "its console is empty" : "its console's last lines:\n" + words;
}

Result<void> EmbeddedHost::wait_ready(milliseconds timeout, const Progress& progress,
                                      const std::string& target) {
    const auto start = Clock::now();
    auto next_report = start + milliseconds(500);
    std::string what = "starting the embedded host";
    bool once_more = false;
    while (true) {
        const auto stream = connect_through(folder_.path(), target, seconds(2));
        if (stream) return {};
        const Error& why = stream.error();
        if (why.code() == ErrorCode::VersionMismatch) return Failure{why};
        const auto running = TRY(folder_.running());
        if (running && !is_running(running->qemu) && !once_more) {
            // It was killed just before and taken for one that runs, or its boot went wrong.
            log::warn("the embedded host ended while it booted ({}); it is started once more", last_words());
            once_more = true;
            TRY(this->start());
            continue;
        }
        if (!running || !is_running(running->qemu))
            return fail(ErrorCode::EmbeddedHostFailed,
                        "the embedded host ended while it started; " + last_words());
        if (!running->bridge || !is_running(*running->bridge))
            return fail(ErrorCode::EmbeddedHostFailed,
                        "the bridge to the embedded host ended; see " + folder_.file("bridge.log"));
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
    const auto lock = TRY(folder_.lock());
    return stop_locked(timeout);
}

Result<bool> EmbeddedHost::stop_if_outdated() {
    const auto lock = TRY(folder_.lock());
    const auto running = TRY(folder_.running());
    const bool outdated = TRY(is_outdated());
    if (!outdated) return false;
    config_.memory_mib = running->memory_mib;
    TRY(stop_locked(kStopPatience));
    return true;
}

Result<bool> EmbeddedHost::is_outdated() const {
    const auto running = TRY(folder_.running());
    const auto stamp = root_stamp();
    return running && is_running(running->qemu) && !stamp.empty() && running->root_stamp != stamp;
}

Result<void> EmbeddedHost::stop_locked(milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    const auto running = TRY(folder_.running());
    if (!running) return {};
    // The last seconds are for the ways that need nobody's help.
    constexpr auto kReserve = seconds(5);
    if (is_running(running->qemu)) {
        const auto asked = connect_through(folder_.path(), "poweroff", seconds(2));
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
    clear();
    return {};
}

Result<bool> EmbeddedHost::runs() const {
    const auto running = TRY(folder_.running());
    return running && running->bridge && is_running(running->qemu) && is_running(*running->bridge);
}

Result<HostStatus> EmbeddedHost::status() {
    HostStatus status;
    const auto running = TRY(folder_.running());
    if (!running) return status;
    if (!is_running(running->qemu)) {
        status.crashed = true;
        return status;
    }
    status.running = true;
    status.pid = running->qemu.pid;
    status.memory_mib = running->memory_mib;
    status.outdated = TRY(is_outdated());
    status.uptime = seconds(std::max<int64_t>(::time(nullptr) - running->started_at, 0));
    status.resident_mib = mib_of("/proc/" + std::to_string(status.pid) + "/status", "VmRSS");
    if (const auto stream = connect_through(folder_.path(), "status", seconds(2))) {
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
    const auto running = TRY(folder_.running());
    if (running && is_running(running->qemu)) return {};
    return fail(ErrorCode::EmbeddedHostNotRunning,
                "the embedded host does not run; start it with 'alcove host start'");
}

Result<Fd> EmbeddedHost::open_stream(const std::string& target) {
    TRY(require_running());
    return connect_through(folder_.path(), target, seconds(10));
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

Result<EmbeddedHost::AttachedImage> EmbeddedHost::attach(const std::string& serial, const Fd& image,
                                                         DiskAccess access) {
    TRY(check_serial(serial));
    TRY(require_running());
    const uint64_t size = TRY(sys::file_size(image));
    if (size == 0) return fail(ErrorCode::InvalidArgument, "the image is empty");
    const bool read_only = access == DiskAccess::ReadOnly;
    // Opened again: QEMU takes from a set the descriptor whose access mode fits.
    const auto opened =
        TRY(sys::open("/proc/self/fd/" + std::to_string(image.get()), read_only ? O_RDONLY : O_RDWR)
                .context("opening the image"));

    auto qmp = TRY(QmpClient::connect(socket_path(kQmpSocket), seconds(10)));
    const auto added = TRY(qmp.execute("add-fd", {{"opaque", image_node(serial)}}, &opened));
    const auto set = added.is_object() && added.contains("fdset-id") ? added["fdset-id"] : Json(0);
    const Json remove_set = {{"fdset-id", set}};
    const std::string filename = "/dev/fdset/" + set.dump();
    const auto node = qmp.execute("blockdev-add", {{"driver", "raw"},
                                                   {"node-name", image_node(serial)},
                                                   {"read-only", read_only},
                                                   {"discard", "unmap"},
                                                   {"file",
                                                    {{"driver", "file"},
                                                     {"filename", filename},
                                                     {"read-only", read_only},
                                                     {"discard", "unmap"},
                                                     // A file that is written belongs to this QEMU alone.
                                                     {"locking", read_only ? "off" : "auto"}}}});
    // From now on QEMU's node holds the descriptor, or nobody does.
    static_cast<void>(qmp.execute("remove-fd", remove_set).has_value());
    if (!node) return Failure{node.error()};
    const auto device = qmp.execute("device_add", {{"driver", "virtio-blk-pci"},
                                                   {"id", "disk-" + serial},
                                                   {"bus", kImageBus},
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
