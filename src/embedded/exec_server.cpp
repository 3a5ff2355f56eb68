// SPDX-License-Identifier: Apache-2.0
#include "embedded/exec_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "embedded/exec_protocol.hpp"
#include "embedded/process.hpp"
#include "support/system.hpp"

extern char** environ;

namespace alcove::embedded {

namespace {

using Clock = std::chrono::steady_clock;

// Output waiting for the client; more is left in the program's pipe.
constexpr size_t kMaxOutputWaiting = 128 * 1024;
// How long a program's output is followed after its end: its own children may hold the pipes.
constexpr auto kDrain = std::chrono::milliseconds(500);
// How long a program may take to end after its client went away.
constexpr auto kHangup = std::chrono::seconds(2);

class ExecServer {
  public:
    explicit ExecServer(Fd stream) : stream_(std::move(stream)) {}
    ~ExecServer();
    ExecServer(const ExecServer&) = delete;
    ExecServer& operator=(const ExecServer&) = delete;

    Result<void> run();

  private:
    Result<void> read_stream();
    Result<void> handle(const Record& record);
    Result<void> start(const ExecRequest& request);
    Result<void> start_on_pipes(SpawnOptions options);
    Result<void> start_on_terminal(SpawnOptions options, const ExecRequest& request);
    void write_input();
    void read_output(Fd& from, RecordKind kind);
    Result<void> write_stream();
    void collect();
    bool program_done() const;

    Fd stream_;
    bool client_gone_ = false;
    RecordReader reader_;
    Bytes out_;  // records for the client
    size_t out_sent_ = 0;
    bool last_said_ = false;  // Exit or Failed stands in out_

    pid_t pid_ = 0;  // 0: none runs
    Fd pidfd_;
    std::optional<int> exit_code_;
    Clock::time_point ended_at_{};
    bool terminal_ = false;
    Fd input_;   // its standard input, or the terminal
    Fd output_;  // its standard output, or the terminal
    Fd errors_;
    Bytes pending_input_;
    bool input_ends_ = false;  // after pending_input_
};

ExecServer::~ExecServer() {
    if (pid_ == 0) return;
    // The client is gone: the program's whole session is told, and then made, to end.
    ::kill(-pid_, SIGHUP);
    pollfd waiting{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    input_.reset();
    output_.reset();
    errors_.reset();
    if (::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(kHangup).count())) <= 0)
        ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

Result<void> ExecServer::run() {
    TRY(sys::set_non_blocking(stream_, true));
    while (true) {
        if (program_done() && !std::exchange(last_said_, true)) {
            Le32 code(static_cast<uint32_t>(*exit_code_));
            append_record(out_, RecordKind::Exit, object_bytes(code));
        }
        if (client_gone_ || (last_said_ && out_.empty())) return {};

        const bool room = out_.size() - out_sent_ < kMaxOutputWaiting;
        if (!room) ended_at_ = Clock::now();  // a slow client loses nothing of what is still in the pipes
        const auto events = [](bool read, bool write) {
            return static_cast<short>((read ? POLLIN : 0) | (write ? POLLOUT : 0));
        };
        std::array<pollfd, 5> fds{{
            // A terminal's client may still type; nobody reads it once the program has ended.
            {.fd = stream_.get(),
             .events = static_cast<short>(events(pending_input_.empty(), !out_.empty()) | POLLRDHUP),
             .revents = 0},
            {.fd = input_.get(), .events = events(false, !pending_input_.empty()), .revents = 0},
            {.fd = room ? output_.get() : -1, .events = POLLIN, .revents = 0},
            {.fd = room ? errors_.get() : -1, .events = POLLIN, .revents = 0},
            {.fd = exit_code_ ? -1 : pidfd_.get(), .events = POLLIN, .revents = 0},
        }};
        if (pending_input_.empty()) fds[1].fd = -1;
        const int timeout = exit_code_ ? 50 : -1;
        if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) return fail_errno(errno, "poll");

        if ((fds[4].revents & POLLIN) != 0) collect();
        if (fds[2].revents != 0) read_output(output_, RecordKind::Output);
        if (fds[3].revents != 0) read_output(errors_, RecordKind::Errors);
        if (fds[1].revents != 0) write_input();
        if ((fds[0].revents & POLLOUT) != 0) TRY(write_stream());
        if ((fds[0].revents & POLLIN) != 0) TRY(read_stream());
        // The client ends its side only by going away: what it wants to say has records.
        if ((fds[0].revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0) client_gone_ = true;
    }
}

bool ExecServer::program_done() const {
    if (!exit_code_) return false;
    return (!output_.is_open() && !errors_.is_open()) || Clock::now() - ended_at_ >= kDrain;
}

Result<void> ExecServer::read_stream() {
    Bytes chunk(kMaxRecord);
    const auto transfer = TRY(sys::read_some(stream_, chunk));
    if (transfer.would_block) return {};
    if (transfer.bytes == 0) {
        client_gone_ = true;
        return {};
    }
    reader_.append(ByteView(chunk).first(transfer.bytes));
    while (true) {
        const auto record = TRY(reader_.next());
        if (!record) return {};
        TRY(handle(*record));
    }
}

Result<void> ExecServer::handle(const Record& record) {
    const bool started = pid_ != 0 || last_said_ || exit_code_.has_value();
    if ((record.kind == RecordKind::Start) == started)
        return fail(ErrorCode::InvalidMessage, "the first record, and no other, starts the program");
    switch (record.kind) {
        case RecordKind::Start: {
            const auto request = decode_request(record.payload);
            const auto done = request ? start(*request) : Result<void>(Failure{request.error()});
            if (!done) {
                last_said_ = true;
                append_record(out_, RecordKind::Failed,
                              as_byte_view(done.error().to_string().substr(0, kMaxRecord)));
            }
            return {};
        }
        case RecordKind::Input:
            if (!input_.is_open() || input_ends_) return {};
            pending_input_.insert(pending_input_.end(), record.payload.begin(), record.payload.end());
            write_input();
            return {};
        case RecordKind::InputEnd:
            if (std::exchange(input_ends_, true)) return {};
            if (terminal_) pending_input_.push_back(0x04);  // VEOF
            write_input();
            return {};
        case RecordKind::Resize: {
            const auto size = read_object<WindowSize>(record.payload);
            if (!size) return fail(ErrorCode::InvalidMessage, "a Resize record is cut short");
            const winsize window{
                .ws_row = size->rows, .ws_col = size->columns, .ws_xpixel = 0, .ws_ypixel = 0};
            if (terminal_ && input_.is_open()) ::ioctl(input_.get(), TIOCSWINSZ, &window);
            return {};
        }
        case RecordKind::Signal: {
            const auto number = read_object<Le32>(record.payload);
            if (!number || *number < 1 || *number > 64)
                return fail(ErrorCode::InvalidMessage, "a Signal record names no signal");
            if (pid_ != 0) ::kill(-pid_, static_cast<int>(uint32_t{*number}));
            return {};
        }
        default:
            return fail(ErrorCode::InvalidMessage, "a client sent a server's record");
    }
}

Result<void> ExecServer::start(const ExecRequest& request) {
    SpawnOptions options;
    options.arguments = request.arguments;
    options.environment = request.environment;
    for (char** word = environ; *word != nullptr; ++word) {
        const std::string_view name =
            std::string_view(*word).substr(0, std::string_view(*word).find('=') + 1);
        const auto& given = request.environment;
        if (std::none_of(given.begin(), given.end(),
                         [&](const auto& other) { return other.starts_with(name); }))
            options.environment.emplace_back(*word);
    }
    options.new_session = true;
    terminal_ = request.terminal;
    if (terminal_) {
        TRY(start_on_terminal(std::move(options), request));
    } else {
        TRY(start_on_pipes(std::move(options)));
    }
    pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!pidfd_.is_open()) return fail_errno(errno, "pidfd_open");
    return {};
}

Result<void> ExecServer::start_on_pipes(SpawnOptions options) {
    auto in = TRY(sys::pipe());
    auto out = TRY(sys::pipe());
    auto err = TRY(sys::pipe());
    TRY(sys::set_non_blocking(in.second, true));
    TRY(sys::set_non_blocking(out.first, true));
    TRY(sys::set_non_blocking(err.first, true));
    options.descriptors = {in.first.get(), out.second.get(), err.second.get()};
    pid_ = TRY(spawn(options));
    input_ = std::move(in.second);
    output_ = std::move(out.first);
    errors_ = std::move(err.first);
    return {};
}

Result<void> ExecServer::start_on_terminal(SpawnOptions options, const ExecRequest& request) {
    Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    std::array<char, 128> name{};
    if (!master.is_open() || ::grantpt(master.get()) < 0 || ::unlockpt(master.get()) < 0 ||
        ::ptsname_r(master.get(), name.data(), name.size()) != 0)
        return fail_errno(errno, "opening a terminal");
    const winsize window{.ws_row = request.rows, .ws_col = request.columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ::ioctl(master.get(), TIOCSWINSZ, &window);
    options.terminal = name.data();
    // Held open over the start: until the program has the terminal, reading it would say that it is gone.
    const auto slave = TRY(sys::open(options.terminal, O_RDWR | O_NOCTTY));
    pid_ = TRY(spawn(options));
    auto copy = TRY(sys::duplicate(master.get()));
    TRY(sys::set_non_blocking(master, true));
    input_ = std::move(master);
    output_ = std::move(copy);
    return {};
}

void ExecServer::write_input() {
    if (!input_.is_open()) return;
    if (!pending_input_.empty()) {
        // Not sys::write_some: a pipe's broken end is an ordinary event here.
        const ssize_t count = ::write(input_.get(), pending_input_.data(), pending_input_.size());
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count < 0) {
            // The program reads no more; what it still says is wanted.
            pending_input_.clear();
            input_.reset();
            return;
        }
        pending_input_.erase(pending_input_.begin(), pending_input_.begin() + count);
    }
    if (pending_input_.empty() && input_ends_ && !terminal_) input_.reset();
}

void ExecServer::read_output(Fd& from, RecordKind kind) {
    std::array<uint8_t, kMaxRecord / 2> chunk;
    const ssize_t count = ::read(from.get(), chunk.data(), chunk.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {  // a terminal says EIO when its last user closed it
        from.reset();
        return;
    }
    append_record(out_, kind, ByteView(chunk).first(static_cast<size_t>(count)));
}

Result<void> ExecServer::write_stream() {
    const auto transfer = TRY(sys::write_some(stream_, ByteView(out_).subspan(out_sent_)));
    out_sent_ += transfer.bytes;
    if (out_sent_ == out_.size()) {
        out_.clear();
        out_sent_ = 0;
    }
    return {};
}

void ExecServer::collect() {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
    exit_code_ = exit_code_of(status);
    ended_at_ = Clock::now();
    pid_ = 0;
    pending_input_.clear();
    if (!terminal_) input_.reset();
}

}  // namespace

Result<void> serve_exec(Fd stream) {
    ::signal(SIGPIPE, SIG_IGN);
    ExecServer server(std::move(stream));
    return server.run();
}

}  // namespace alcove::embedded
