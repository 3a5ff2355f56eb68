// SPDX-License-Identifier: Apache-2.0
#include "embedded/qmp.hpp"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::embedded {

namespace {

Result<void> wait_for(const Fd& socket, short events, std::chrono::steady_clock::time_point deadline) {
    while (true) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return fail(ErrorCode::Timeout, "QEMU's control socket did not answer in time");
        pollfd waiting{.fd = socket.get(), .events = events, .revents = 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll");
        if (ready > 0) return {};
    }
}

// A member that is a string, or nothing: what QEMU sends is checked, not trusted.
std::string text_member(const nlohmann::json& object, const char* key) {
    const auto at = object.find(key);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

Result<QmpClient> QmpClient::connect(const std::string& socket_path, std::chrono::milliseconds timeout) {
    auto socket = sys::unix_connect(socket_path, SOCK_STREAM);
    if (!socket && socket.error().code() == ErrorCode::PathTooLong) return Failure{std::move(socket).error()};
    if (!socket)
        return fail(ErrorCode::EmbeddedHostNotRunning,
                    "QEMU does not listen at " + socket_path + " (" + socket.error().to_string() + ")");
    TRY(sys::set_non_blocking(*socket, true));
    QmpClient client(std::move(socket).value(), timeout);
    const auto greeting = TRY(client.read_message(Clock::now() + timeout));
    if (!greeting.contains("QMP")) return fail(ErrorCode::InvalidMessage, "what listens there is not QEMU");
    TRY(client.execute("qmp_capabilities"));
    return client;
}

Result<QmpClient::Json> QmpClient::execute(const std::string& command, const Json& arguments,
                                           const Fd* descriptor) {
    Json request = {{"execute", command}};
    if (!arguments.empty()) request["arguments"] = arguments;
    const auto deadline = Clock::now() + timeout_;
    TRY(send_line(request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", descriptor, deadline));
    auto reply = TRY(read_reply(deadline).context("QEMU command " + command));
    if (const auto value = reply.find("return"); value != reply.end()) return std::move(*value);
    const auto error = reply.find("error");
    if (error == reply.end() || !error->is_object())
        return fail(ErrorCode::InvalidMessage,
                    "QEMU answered " + command + " with neither a value nor an error");
    return fail(ErrorCode::EmbeddedHostFailed,
                "QEMU refused " + command + ": " + text_member(*error, "desc"));
}

Result<void> QmpClient::wait_event(const std::string& name, const std::string& key, const std::string& value,
                                   std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    while (true) {
        while (!events_.empty()) {
            const Json event = std::move(events_.front());
            events_.pop_front();
            const auto data = event.find("data");
            if (text_member(event, "event") == name && data != event.end() && data->is_object() &&
                text_member(*data, key.c_str()) == value)
                return {};
        }
        auto message = TRY(read_message(deadline).context("waiting for QEMU's event " + name));
        if (message.contains("event")) events_.push_back(std::move(message));
    }
}

Result<QmpClient::Json> QmpClient::read_reply(Clock::time_point deadline) {
    while (true) {
        auto message = TRY(read_message(deadline));
        if (!message.contains("event")) return message;
        if (events_.size() == kMaxEvents) events_.pop_front();
        events_.push_back(std::move(message));
    }
}

Result<QmpClient::Json> QmpClient::read_message(Clock::time_point deadline) {
    size_t searched = 0;
    while (true) {
        const size_t end = received_.find('\n', searched);
        if (end != std::string::npos) {
            Json message =
                Json::parse(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                            /*allow_exceptions=*/false);
            received_.erase(0, end + 1);
            if (!message.is_object())
                return fail(ErrorCode::InvalidMessage, "QEMU sent something that is no JSON object");
            return message;
        }
        searched = received_.size();
        if (received_.size() > kMaxLine)
            return fail(ErrorCode::InvalidMessage, "QEMU sent a line without an end");
        TRY(wait_for(socket_, POLLIN, deadline));
        Bytes chunk(16 * 1024);
        const auto transfer = TRY(sys::read_some(socket_, chunk));
        if (transfer.would_block) continue;
        if (transfer.bytes == 0) return fail(ErrorCode::ConnectionLost, "QEMU closed its control socket");
        received_.append(as_text(ByteView(chunk).first(transfer.bytes)));
    }
}

Result<void> QmpClient::send_line(const std::string& line, const Fd* descriptor, Clock::time_point deadline) {
    size_t sent = 0;
    while (sent < line.size()) {
        TRY(wait_for(socket_, POLLOUT, deadline));
        iovec part{.iov_base = const_cast<char*>(line.data()) + sent, .iov_len = line.size() - sent};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {};
        if (descriptor != nullptr && sent == 0) {
            const int number = descriptor->get();
            header.msg_control = control;
            header.msg_controllen = sizeof control;
            cmsghdr* rights = CMSG_FIRSTHDR(&header);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof number);
            std::memcpy(CMSG_DATA(rights), &number, sizeof number);
        }
        const ssize_t count = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count < 0)
            return fail_errno(errno, "writing to QEMU's control socket", ErrorCode::ConnectionLost);
        sent += static_cast<size_t>(count);
    }
    return {};
}

}  // namespace alcove::embedded
