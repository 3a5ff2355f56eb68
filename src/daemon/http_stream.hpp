// SPDX-License-Identifier: Apache-2.0
//
// One client's connection as the HTTP library reads and writes it, within limits: the header's lines and
// size, the request's size as a whole, and the time for both. Included by http_server.cpp only, because the
// library's header is a heavy one.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>

#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon/http_server.hpp"

namespace alcove::daemon {

class HttpStream final : public httplib::Stream {
  public:
    HttpStream(int socket, uid_t user, const HttpLimits& limits)
        : socket_(socket), user_(user), limits_(limits), deadline_(Clock::now() + limits.request_time) {}

    bool is_readable() const override { return begin_ < end_ || wait(POLLIN, time_left()); }
    // A client that has gone is not writable, so that an endless answer ends with it.
    bool is_writable() const override {
        pollfd waiting{.fd = socket_, .events = POLLOUT | POLLRDHUP, .revents = 0};
        if (::poll(&waiting, 1, static_cast<int>(limits_.write_time.count())) <= 0) return false;
        return (waiting.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0;
    }

    ssize_t read(char* into, size_t size) override {
        if (begin_ == end_ && !fill()) return failed_ ? -1 : 0;
        const size_t count = std::min(size, end_ - begin_);
        for (size_t i = 0; i < count; ++i) {
            into[i] = buffer_[begin_ + i];
            if (!admit(into[i])) return -1;
        }
        begin_ += count;
        return static_cast<ssize_t>(count);
    }

    ssize_t write(const char* from, size_t size) override {
        size_t done = 0;
        while (done < size) {
            const ssize_t sent = ::send(socket_, from + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0 && errno == EAGAIN && wait(POLLOUT, limits_.write_time)) continue;
            if (sent < 0) return -1;
            done += static_cast<size_t>(sent);
        }
        return static_cast<ssize_t>(size);
    }

    // The library copies these into the request: it is how the handler learns of the user.
    void get_remote_ip_and_port(std::string& ip, int& port) const override {
        ip = std::to_string(user_);
        port = 0;
    }
    void get_local_ip_and_port(std::string& ip, int& port) const override {
        ip.clear();
        port = 0;
    }
    socket_t socket() const override { return socket_; }

  private:
    using Clock = std::chrono::steady_clock;

    std::chrono::milliseconds time_left() const {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
        return std::max(left, std::chrono::milliseconds(0));
    }

    bool wait(short events, std::chrono::milliseconds time) const {
        pollfd waiting{.fd = socket_, .events = events, .revents = 0};
        int ready = 0;
        do {
            ready = ::poll(&waiting, 1, static_cast<int>(time.count()));
        } while (ready < 0 && errno == EINTR);
        return ready > 0;
    }

    bool fill() {
        if (failed_ || !wait(POLLIN, time_left())) {
            failed_ = true;
            return false;
        }
        const ssize_t count = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
        if (count <= 0) return false;
        begin_ = 0;
        end_ = static_cast<size_t>(count);
        return true;
    }

    // Counts a byte of the request; false when it is one too many.
    bool admit(char byte) {
        ++received_;
        if (in_header_) {
            if (byte == '\n') {
                if (line_ == 0) in_header_ = false;
                line_ = 0;
            } else if (byte != '\r') {
                ++line_;
            }
            failed_ = failed_ || line_ > limits_.header_line_bytes || received_ > limits_.header_bytes;
        } else {
            // Room for the framing of a chunked body.
            failed_ = failed_ || received_ > limits_.header_bytes + 2 * limits_.body_bytes;
        }
        return !failed_;
    }

    int socket_;
    uid_t user_;
    const HttpLimits& limits_;
    Clock::time_point deadline_;
    std::array<char, 4096> buffer_{};
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t received_ = 0;
    size_t line_ = 0;
    bool in_header_ = true;
    bool failed_ = false;
};

}  // namespace alcove::daemon
