// SPDX-License-Identifier: Apache-2.0
#include "cli/relay.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <functional>
#include <memory>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr size_t kMaxAnswer = 32;
constexpr int kAnswerTimeoutMs = 30'000;

// One direction: what was read and not written yet.
class Pump {
  public:
    Pump(int from, int to, bool to_socket) : from_(from), to_(to), to_socket_(to_socket) {}

    bool reads() const { return !ended_ && begin_ == end_; }
    bool writes() const { return begin_ < end_; }
    bool is_done() const { return ended_ && begin_ == end_; }

    Result<void> read() {
        const ssize_t count = ::read(from_, buffer_.data(), buffer_.size());
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) return {};
        if (count < 0 && errno != ECONNRESET) return fail_errno(errno, "read");
        begin_ = 0;
        end_ = count > 0 ? static_cast<size_t>(count) : 0;
        ended_ = count <= 0;
        return {};
    }
    // Never blocks once the descriptor was said to take something: whoever does not read while it writes
    // would wait for us for ever. A pipe then has room for PIPE_BUF bytes; its mode is not ours to change.
    Result<void> write() {
        const uint8_t* const bytes = buffer_.data() + begin_;
        const size_t left = end_ - begin_;
        const ssize_t count = to_socket_ ? ::send(to_, bytes, left, MSG_DONTWAIT | MSG_NOSIGNAL)
                                         : ::write(to_, bytes, std::min<size_t>(left, PIPE_BUF));
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) return {};
        if (count < 0) return fail_errno(errno, "write");
        begin_ += static_cast<size_t>(count);
        return {};
    }

    void abandon() {
        begin_ = end_ = 0;
        ended_ = true;
    }

    int from() const { return from_; }
    int to() const { return to_; }

  private:
    int from_;
    int to_;
    bool to_socket_;
    std::array<uint8_t, 64_KiB> buffer_{};
    size_t begin_ = 0;
    size_t end_ = 0;
    bool ended_ = false;
};

// One of the two that are joined.
struct End {
    int input;
    int output;
    std::function<void()> end_output;
    bool output_is_wanted = false;  // a refusal to take bytes is an error, not the other side's own business
    bool is_socket() const { return input == output; }
};

End socket_end(const Fd& socket) {
    return {.input = socket.get(), .output = socket.get(), .end_output = [fd = socket.get()] {
                ::shutdown(fd, SHUT_WR);
            }};
}

// Both directions between two ends.
class Joint {
  public:
    Joint(const End& one, const End& other)
        : ways_{{{one, other, Pump(one.input, other.output, other.is_socket())},
                 {other, one, Pump(other.input, one.output, one.is_socket())}}} {}

    Result<void> run() {
        while (!is_over()) {
            // A descriptor of -1 is left out; one without events still tells of a hang-up.
            std::array<pollfd, 4> waiting{};
            for (size_t i = 0; i < 2; ++i) {
                const Pump& pump = ways_[i].pump;
                const bool listens = pump.reads() || (pump.is_done() && ways_[i].from.is_socket());
                waiting[2 * i] = {.fd = listens ? pump.from() : -1,
                                  .events = static_cast<short>(pump.reads() ? POLLIN : 0),
                                  .revents = 0};
                waiting[2 * i + 1] = {.fd = pump.writes() ? pump.to() : -1, .events = POLLOUT, .revents = 0};
            }
            if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR)
                return fail_errno(errno, "poll");
            for (size_t i = 0; i < 2; ++i)
                TRY(serve(ways_[i], waiting[2 * i].revents, waiting[2 * i + 1].revents));
        }
        return {};
    }

  private:
    struct Way {
        const End& from;
        const End& to;
        Pump pump;
        bool told = false;          // the end was passed on
        bool nobody_there = false;  // who sent all this takes nothing either
    };

    bool is_over() const {
        return (ways_[0].told && ways_[1].told) || ways_[0].nobody_there || ways_[1].nobody_there;
    }

    static Result<void> serve(Way& way, short from_events, short to_events) {
        if (way.pump.is_done()) {
            way.nobody_there = (from_events & (POLLHUP | POLLERR)) != 0;
        } else {
            if (from_events != 0) TRY(way.pump.read());
            if (to_events != 0) {
                const auto written = way.pump.write();
                if (!written && way.to.output_is_wanted) return written;
                // The other side may have closed while something was on its way to it; what it said last
                // still comes.
                if (!written) way.pump.abandon();
            }
        }
        if (way.pump.is_done() && !way.told) {
            way.told = true;
            way.to.end_output();
        }
        return {};
    }

    std::array<Way, 2> ways_;
};

}  // namespace

Result<void> connect_port(const Fd& stream, uint32_t port) {
    TRY(sys::write_all(stream, as_byte_view("CONNECT " + std::to_string(port) + "\n")));
    std::string answer;
    while (!answer.ends_with('\n') && answer.size() < kMaxAnswer) {
        pollfd waiting{.fd = stream.get(), .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, kAnswerTimeoutMs) == 0)
            return fail(ErrorCode::Timeout, "the enclave does not answer on port " + std::to_string(port));
        // Byte by byte: what follows the line belongs to the stream.
        uint8_t byte = 0;
        const auto transfer = sys::read_some(stream, {&byte, 1});
        if (!transfer || transfer->bytes == 0)
            return fail(ErrorCode::ConnectionLost,
                        "nobody in the enclave listens on port " + std::to_string(port));
        answer += static_cast<char>(byte);
    }
    if (!answer.starts_with("OK "))
        return fail(ErrorCode::InvalidMessage, "the enclave's VMM answered nonsense");
    return {};
}

Result<void> relay(const Fd& stream, int input, Fd output) {
    const End user{.input = input,
                   .output = output.get(),
                   .end_output = [&output] { output.reset(); },
                   .output_is_wanted = true};
    const End enclave = socket_end(stream);
    return std::make_unique<Joint>(user, enclave)->run();
}

Result<void> relay_standard(const Fd& stream) {
    auto output = TRY(sys::duplicate(STDOUT_FILENO));
    // The copy alone holds it, so that whoever reads it sees the stream's end.
    const auto nothing = TRY(sys::open("/dev/null", O_WRONLY));
    if (::dup2(nothing.get(), STDOUT_FILENO) < 0) return fail_errno(errno, "dup2");
    return relay(stream, STDIN_FILENO, std::move(output));
}

Result<void> join(const Fd& one, const Fd& other) {
    const End left = socket_end(one);
    const End right = socket_end(other);
    return std::make_unique<Joint>(left, right)->run();
}

}  // namespace alcove::cli
