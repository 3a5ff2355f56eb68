// SPDX-License-Identifier: Apache-2.0
#include "embedded/exec_client.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::embedded {

namespace {

constexpr size_t kMaxInputWaiting = 64 * 1024;  // bytes read from standard input and not yet sent

// Raw mode for as long as it lives, if the descriptor is a terminal.
class RawTerminal {
  public:
    explicit RawTerminal(int fd) : fd_(fd) {
        if (fd < 0 || ::tcgetattr(fd, &saved_) != 0) return;
        termios raw = saved_;
        ::cfmakeraw(&raw);
        active_ = ::tcsetattr(fd, TCSANOW, &raw) == 0;
    }
    ~RawTerminal() {
        if (active_) ::tcsetattr(fd_, TCSANOW, &saved_);
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

  private:
    int fd_;
    bool active_ = false;
    termios saved_{};
};

// SIGWINCH as a descriptor, blocked for this thread meanwhile.
class ResizeSignal {
  public:
    ResizeSignal() {
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, SIGWINCH);
        ::pthread_sigmask(SIG_BLOCK, &set, &saved_);
        fd_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    ~ResizeSignal() { ::pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
    ResizeSignal(const ResizeSignal&) = delete;
    ResizeSignal& operator=(const ResizeSignal&) = delete;

    int fd() const { return fd_.get(); }
    void drain() const {
        signalfd_siginfo info{};
        while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        }
    }

  private:
    sigset_t saved_{};
    Fd fd_;
};

std::optional<WindowSize> window_of(int fd) {
    winsize window{};
    if (fd < 0 || ::ioctl(fd, TIOCGWINSZ, &window) != 0 || window.ws_row == 0) return std::nullopt;
    return WindowSize{.rows = window.ws_row, .columns = window.ws_col};
}

class ExecClient {
  public:
    ExecClient(const Fd& stream, const ExecStreams& streams) : stream_(stream), streams_(streams) {}

    Result<int> run(Bytes request, bool terminal) {
        append_record(out_, RecordKind::Start, request);
        if (streams_.input < 0) append_record(out_, RecordKind::InputEnd, {});
        std::optional<ResizeSignal> resize;
        if (terminal) resize.emplace();
        while (!exit_code_) {
            std::array<pollfd, 3> fds{{
                {.fd = stream_.get(),
                 .events = static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)),
                 .revents = 0},
                {.fd = out_.size() < kMaxInputWaiting ? streams_.input : -1, .events = POLLIN, .revents = 0},
                {.fd = resize ? resize->fd() : -1, .events = POLLIN, .revents = 0},
            }};
            if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
            if (fds[2].revents != 0) {
                resize->drain();
                if (const auto size = window_of(streams_.output))
                    append_record(out_, RecordKind::Resize, object_bytes(*size));
            }
            if (fds[1].revents != 0) read_input();
            if ((fds[0].revents & POLLOUT) != 0) write_stream();
            if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) TRY(read_stream());
        }
        return *exit_code_;
    }

  private:
    void read_input() {
        std::array<uint8_t, kMaxRecord> chunk;
        const ssize_t count = ::read(streams_.input, chunk.data(), chunk.size());
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count > 0) {
            append_record(out_, RecordKind::Input, ByteView(chunk).first(static_cast<size_t>(count)));
            return;
        }
        streams_.input = -1;
        append_record(out_, RecordKind::InputEnd, {});
    }

    void write_stream() {
        const auto transfer = sys::write_some(stream_, out_);
        if (transfer) {
            out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(transfer->bytes));
            return;
        }
        // The server takes nothing more: the program has ended, and how is still to be read.
        out_.clear();
        streams_.input = -1;
    }

    Result<void> read_stream() {
        Bytes chunk(2 * kMaxRecord);
        const auto transfer = TRY(sys::read_some(stream_, chunk));
        if (transfer.would_block) return {};
        if (transfer.bytes == 0)
            return fail(ErrorCode::ConnectionLost, "the embedded host went away while the command ran");
        reader_.append(ByteView(chunk).first(transfer.bytes));
        while (true) {
            const auto record = TRY(reader_.next());
            if (!record) return {};
            TRY(handle(*record));
        }
    }

    Result<void> handle(const Record& record) {
        switch (record.kind) {
            case RecordKind::Output:
                return write_local(streams_.output, record.payload);
            case RecordKind::Errors:
                return write_local(streams_.errors, record.payload);
            case RecordKind::Failed:
                return fail(ErrorCode::EmbeddedHostFailed,
                            "in the embedded host: " + std::string(as_text(record.payload)));
            case RecordKind::Exit: {
                const auto code = read_object<Le32>(record.payload);
                if (!code) return fail(ErrorCode::InvalidMessage, "an Exit record is cut short");
                exit_code_ = static_cast<int>(uint32_t{*code} & 0xff);
                return {};
            }
            default:
                return fail(ErrorCode::InvalidMessage, "the host sent a client's record");
        }
    }

    // Blocks while nobody takes the output, as the program itself would.
    static Result<void> write_local(int fd, ByteView bytes) {
        while (!bytes.empty()) {
            const ssize_t count = ::write(fd, bytes.data(), bytes.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0 && errno == EAGAIN) {
                pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
                ::poll(&waiting, 1, -1);
                continue;
            }
            if (count < 0) return fail_errno(errno, "writing the command's output");
            bytes = bytes.subspan(static_cast<size_t>(count));
        }
        return {};
    }

    const Fd& stream_;
    ExecStreams streams_;
    RecordReader reader_;
    Bytes out_;
    std::optional<int> exit_code_;
};

}  // namespace

Result<int> run_exec(const Fd& stream, const ExecRequest& request, const ExecStreams& streams) {
    ExecRequest sized = request;
    const auto size = request.terminal ? window_of(streams.output) : std::nullopt;
    if (size) {
        sized.rows = size->rows;
        sized.columns = size->columns;
    }
    auto encoded = TRY(encode_request(sized));
    TRY(sys::set_non_blocking(stream, true));
    const RawTerminal raw(request.terminal ? streams.input : -1);
    return ExecClient(stream, streams).run(std::move(encoded), request.terminal);
}

}  // namespace alcove::embedded
