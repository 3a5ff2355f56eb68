// SPDX-License-Identifier: Apache-2.0
#include "cli/relay.hpp"

#include <array>
#include <cerrno>
#include <string>

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
    Pump(int from, int to) : from_(from), to_(to) {}

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
    Result<void> write() {
        const ssize_t count = ::write(to_, buffer_.data() + begin_, end_ - begin_);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) return {};
        if (count < 0) return fail_errno(errno, "write");
        begin_ += static_cast<size_t>(count);
        return {};
    }

    void abandon() {
        begin_ = end_ = 0;
        ended_ = true;
    }

  private:
    int from_;
    int to_;
    std::array<uint8_t, 64_KiB> buffer_{};
    size_t begin_ = 0;
    size_t end_ = 0;
    bool ended_ = false;
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

Result<void> relay(const Fd& stream, int input, int output) {
    Pump out(input, stream.get());
    Pump in(stream.get(), output);
    bool half_closed = false;
    while (!in.is_done()) {
        if (out.is_done() && !half_closed) {
            ::shutdown(stream.get(), SHUT_WR);
            half_closed = true;
        }
        // A descriptor of -1 is left out.
        std::array<pollfd, 4> waiting{
            {{.fd = out.reads() ? input : -1, .events = POLLIN, .revents = 0},
             {.fd = out.writes() ? stream.get() : -1, .events = POLLOUT, .revents = 0},
             {.fd = in.reads() ? stream.get() : -1, .events = POLLIN, .revents = 0},
             {.fd = in.writes() ? output : -1, .events = POLLOUT, .revents = 0}}};
        if (::poll(waiting.data(), waiting.size(), -1) < 0) {
            if (errno == EINTR) continue;
            return fail_errno(errno, "poll");
        }
        if (waiting[0].revents != 0) TRY(out.read());
        // The enclave may have closed while something was on its way to it; what it said last still comes.
        if (waiting[1].revents != 0 && !out.write()) out.abandon();
        if (waiting[2].revents != 0) TRY(in.read());
        if (waiting[3].revents != 0) TRY(in.write());
    }
    return {};
}

}  // namespace alcove::cli
