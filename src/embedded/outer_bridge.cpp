// SPDX-License-Identifier: Apache-2.0
#include "embedded/outer_bridge.hpp"

#include <cerrno>
#include <charconv>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "embedded/fd_endpoint.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

namespace {

constexpr size_t kMaxAsking = kMaxStreams;
constexpr auto kAskingTime = std::chrono::seconds(10);
constexpr size_t kMaxAnswer = 2048;

std::string answer_line(const Error* error) {
    if (error == nullptr) return "OK\n";
    std::string text = error->to_string();
    for (char& c : text)
        if (c == '\n' || c == '\r') c = ' ';
    return "ERROR " + std::to_string(static_cast<unsigned>(error->code())) + " " +
           text.substr(0, kMaxAnswer / 2) + "\n";
}

// The first thing said on a fresh socket always fits its buffer; a client that is gone needs no answer.
void say(const Fd& socket, const std::string& line) {
    const auto written = sys::write_some(socket, as_byte_view(line));
    if (!written) log::debug("bridge: {}", written.error().to_string());
}

}  // namespace

Result<std::unique_ptr<OuterBridge>> OuterBridge::create(EventLoop& loop, const Config& config, Fd wire,
                                                         std::function<void()> lost) {
    std::unique_ptr<OuterBridge> bridge(new OuterBridge(loop));
    bridge->link_ = TRY(Link::create(loop, std::move(wire), Session::Role::Outer,
                                     Link::Callbacks{
                                         .accept = nullptr,  // the outer end is never asked
                                         .changed = [](Session::State) {},
                                         .lost = std::move(lost),
                                     }));
    TRY(bridge->listen(config.folder, Forward{.socket_name = kConnectSocket, .target = ""}));
    for (const auto& forward : config.forwards)
        TRY(bridge->listen(config.folder, forward));
    return bridge;
}

OuterBridge::~OuterBridge() {
    for (const auto& listener : listeners_) {
        loop_.unwatch(listener.watch);
        ::unlink(listener.path.c_str());
    }
    while (!asking_.empty())
        drop(asking_.begin());
}

Result<void> OuterBridge::listen(const std::string& folder, const Forward& forward) {
    Listener& listener = listeners_.emplace_back();
    listener.path = folder + "/" + forward.socket_name;
    listener.target = forward.target;
    auto socket = TRY(sys::unix_listen(listener.path, SOCK_STREAM | SOCK_NONBLOCK, 0600));
    listener.socket = std::move(socket);
    listener.watch =
        TRY(loop_.watch(listener.socket, EPOLLIN, [this, &listener](uint32_t) { accept(listener); }));
    return {};
}

void OuterBridge::accept(const Listener& listener) {
    auto client = sys::accept(listener.socket);
    if (!client) {
        if (client.error().errno_value() != EAGAIN) log::warn("bridge: {}", client.error().to_string());
        return;
    }
    if (!listener.target.empty()) {
        if (const auto done = connect(*client, listener.target, false); !done)
            log::debug("bridge: {}", done.error().to_string());
        return;
    }
    if (asking_.size() >= kMaxAsking) return;  // closes it: the oldest will time out
    const auto at = asking_.emplace(asking_.end());
    at->socket = std::move(client).value();
    at->timer = loop_.after(kAskingTime, [this, at] {
        at->timer = 0;
        drop(at);
    });
    const auto watch = loop_.watch(at->socket, EPOLLIN, [this, at](uint32_t) { read_target(at); });
    if (watch) {
        at->watch = *watch;
    } else {
        drop(at);
    }
}

void OuterBridge::drop(std::list<Asking>::iterator client) {
    loop_.unwatch(client->watch);
    loop_.cancel(client->timer);
    asking_.erase(client);
}

void OuterBridge::read_target(std::list<Asking>::iterator client) {
    // Byte by byte: what follows the line belongs to the stream.
    while (true) {
        char one = 0;
        const ssize_t count = ::recv(client->socket.get(), &one, 1, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count <= 0 || client->line.size() > kMaxTarget) {
            drop(client);
            return;
        }
        if (one == '\n') break;
        client->line.push_back(one);
    }
    loop_.unwatch(std::exchange(client->watch, 0));
    Fd socket = std::move(client->socket);
    const std::string target = std::move(client->line);
    drop(client);
    if (const auto done = connect(socket, target, true); !done) say(socket, answer_line(&done.error()));
}

// Takes the client's socket when it succeeds.
Result<void> OuterBridge::connect(Fd& client, const std::string& target, bool answer) {
    if (link_->state() == Session::State::Incompatible)
        return fail(
            ErrorCode::VersionMismatch,
            "the running embedded host speaks another version; run 'alcove host stop' and start it again");
    Mux* const mux = link_->mux();
    if (mux == nullptr) return fail(ErrorCode::Busy, "the embedded host does not answer yet");
    auto answered = std::make_shared<bool>(!answer);
    TRY(mux->open(target, [&](StreamId id) -> std::unique_ptr<StreamEndpoint> {
        auto endpoint = std::make_unique<FdEndpoint>(loop_, *mux, id, std::move(client));
        FdEndpoint* const raw = endpoint.get();
        FdEndpoint::Hooks hooks;
        hooks.opened = [answered, raw] {
            if (!std::exchange(*answered, true)) say(raw->socket(), answer_line(nullptr));
        };
        hooks.closed = [answered, raw](const Error* reason) {
            if (reason != nullptr && !std::exchange(*answered, true)) say(raw->socket(), answer_line(reason));
        };
        endpoint->set_hooks(std::move(hooks));
        return endpoint;
    }));
    return {};
}

Result<Fd> connect_through(const std::string& folder, const std::string& target,
                           std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    if (target.empty() || target.size() > kMaxTarget || target.find('\n') != std::string::npos)
        return fail(ErrorCode::InvalidArgument, "a target is one line of at most 4096 bytes");
    auto connected = sys::unix_connect(folder + "/" + kConnectSocket, SOCK_STREAM);
    if (!connected)
        return fail(ErrorCode::EmbeddedHostNotRunning, "the bridge to the embedded host does not run (" +
                                                           connected.error().to_string() +
                                                           "); 'alcove host start' starts it");
    Fd socket = std::move(connected).value();
    // Far less than a socket's buffer: one call takes it whole.
    TRY(sys::write_some(socket, as_byte_view(target + "\n")));
    std::string line;
    while (line.empty() || line.back() != '\n') {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{.fd = socket.get(), .events = POLLIN, .revents = 0};
        if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) == 0)
            return fail(ErrorCode::Timeout, "the embedded host did not answer in time");
        char one = 0;  // byte by byte: what follows the line belongs to the stream
        const ssize_t count = ::recv(socket.get(), &one, 1, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0)
            return fail(ErrorCode::ConnectionLost, "the bridge to the embedded host closed the connection");
        line.push_back(one);
        if (line.size() > kMaxAnswer)
            return fail(ErrorCode::InvalidMessage, "the bridge's answer has no end");
    }
    line.pop_back();
    if (line == "OK") return socket;
    constexpr std::string_view kError = "ERROR ";
    uint16_t number = 0;
    if (!line.starts_with(kError))
        return fail(ErrorCode::InvalidMessage, "the bridge's answer makes no sense");
    const auto parsed = std::from_chars(line.data() + kError.size(), line.data() + line.size(), number);
    const auto after = static_cast<size_t>(parsed.ptr - line.data());
    if (parsed.ec != std::errc() || number == 0)
        return fail(ErrorCode::InvalidMessage, "the bridge's answer makes no sense");
    return fail(static_cast<ErrorCode>(number), line.substr(std::min(after + 1, line.size())));
}

}  // namespace alcove::embedded
