// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/enclave_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/interruption.hpp"
#include "embedded/listening_socket.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/wire.hpp"
#include "support/event_loop.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr std::chrono::seconds kRequestPatience{10};
constexpr time_t kAnswerPatience = 5;  // s, for somebody who does not read
constexpr size_t kMaxConnections = 64;

using wire::Command;
using wire::Request;

// What is said to somebody who has gone is lost, and that is all.
void tell(const Fd& socket, const Bytes& bytes) {
    const auto told = sys::write_all(socket, bytes);
    if (!told) log::info("an answer was not taken: {}", told.error().to_string());
}

void answer_json(const Fd& socket, const Json& json) {
    tell(socket, wire::encode_message(wire::Stream::Out, codec::json::dump_pretty(json)));
}

// A running enclave and who asks about it.
class Company {
  public:
    Company(EventLoop& loop, StartedEnclave& started, embedded::ListeningSocket socket)
        : loop_(loop), started_(started), socket_(std::move(socket)) {}

    Result<void> run(cli::Interruption& interruption) {
        watched_ = TRY(loop_.watch(started_.enclave->fd(), 0,
                                   [this](uint32_t) { end("the enclave has ended by itself"); }));
        TRY(loop_.watch(interruption.fd(), EPOLLIN, [this](uint32_t) { end("a signal ends the enclave"); }));
        listening_ = TRY(loop_.watch(socket_->fd(), EPOLLIN, [this](uint32_t) { accept(); }));
        return loop_.run();
    }

  private:
    struct Connection {
        Fd socket;
        wire::RequestReader reader;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;
    };

    void end(const char* why) {
        log::info("{}", why);
        free();
        loop_.stop();
    }
    // The socket first: nobody shall find what is about to go.
    void free() {
        loop_.unwatch(listening_);
        loop_.unwatch(watched_);
        socket_.reset();
        started_.view.state = State::Terminating;
        started_.enclave.reset();
        started_.pages.clear();
    }

    void accept();
    void read(int id);
    void close(int id);
    void carry_out(const Request& request, const Fd& socket);
    void terminate(const Fd& socket);

    EventLoop& loop_;
    StartedEnclave& started_;
    std::optional<embedded::ListeningSocket> socket_;
    EventLoop::WatchId listening_ = 0;
    EventLoop::WatchId watched_ = 0;
    std::map<int, Connection> connections_;
};

void Company::accept() {
    if (!socket_) return;
    auto accepted = socket_->accept();
    if (!accepted || !*accepted) return;
    if (connections_.size() >= kMaxConnections) return;
    Fd socket = std::move(**accepted);
    const int id = socket.get();
    const timeval time{.tv_sec = kAnswerPatience, .tv_usec = 0};
    ::setsockopt(id, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    auto watch = loop_.watch(socket, EPOLLIN, [this, id](uint32_t) { read(id); });
    if (!watch) return;
    auto& connection = connections_[id];
    connection.socket = std::move(socket);
    connection.watch = *watch;
    connection.timer = loop_.after(kRequestPatience, [this, id] { close(id); });
}

void Company::close(int id) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    loop_.unwatch(found->second.watch);
    loop_.cancel(found->second.timer);
    connections_.erase(found);
}

void Company::read(int id) {
    auto& connection = connections_.at(id);
    std::array<uint8_t, 4096> piece{};
    const auto got = sys::read_some(connection.socket, piece);
    if (!got || got->bytes == 0) return close(id);
    const auto request = connection.reader.feed(ByteView(piece).first(got->bytes));
    if (!request) {
        log::warn("a request was refused: {}", request.error().to_string());
        return close(id);
    }
    if (!*request) return;
    carry_out(**request, connection.socket);
    close(id);
}

void Company::carry_out(const Request& request, const Fd& socket) {
    const auto& view = started_.view;
    const auto confirm = [&] { tell(socket, wire::encode_number(wire::kConfirmation)); };
    switch (request.command) {
        case Command::Terminate:
            return terminate(socket);
        case Command::GetEnclaveCid:
            return tell(socket, wire::encode_number(view.cid));
        case Command::GetEnclaveFlags:
            return tell(socket, wire::encode_number(view.debug ? 1 : 0));
        case Command::Describe:
            confirm();
            answer_json(socket, describe_json(view, started_.facts.get(),
                                              request.metadata ? Metadata::Show : Metadata::Leave));
            break;
        case Command::GetEnclaveName:
            confirm();
            answer_json(socket, view.name);
            break;
        case Command::GetIdByName:
            confirm();
            if (request.name == view.name) answer_json(socket, view.id);
            break;
    }
    tell(socket, wire::encode_status(0));
}

void Company::terminate(const Fd& socket) {
    const auto peer = sys::peer_credentials(socket);
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) {
        log::warn("another user's wish to end the enclave was refused");
        return tell(socket, wire::encode_status(EACCES));
    }
    const auto view = started_.view;
    end("the enclave is ended on request");
    tell(socket,
         wire::encode_message(wire::Stream::Err, "Successfully terminated enclave " + view.id + ".\n"));
    answer_json(socket, terminate_json(view.name, view.id));
    tell(socket, wire::encode_status(0));
}

Result<void> accompany(const RunRequest& request, const StartParts& parts, Fd& caller) {
    auto loop = TRY(coded(FailureCode::Epoll, EventLoop::create()));
    auto started = TRY(start_enclave(request, parts, caller, [&](const std::string& line) {
        log::info("{}", line);
        tell(caller, wire::encode_message(wire::Stream::Err, line + "\n"));
    }));
    // Until here a signal ended the process, and with its descriptors the enclave; now there is a socket too.
    auto interruption = TRY(coded(FailureCode::SignalMasking, cli::Interruption::create()));
    const auto path = TRY(parts.places.socket_of(started.view.id));
    auto socket = TRY(coded(FailureCode::Socket, embedded::ListeningSocket::create(path)));
    started.lock.reset();
    log::info("{} runs, CID {}, socket {}", started.view.id, started.view.cid, path);
    answer_json(caller, run_json(started.view));
    tell(caller, wire::encode_status(0));
    caller.reset();
    Company company(*loop, started, std::move(socket));
    return coded(FailureCode::EnclaveEventWait, company.run(interruption));
}

}  // namespace

int accompany_enclave(const RunRequest& request, const StartParts& parts, Fd caller) {
    const auto done = accompany(request, parts, caller);
    if (done) return 0;
    log::error("{}", failure_text(done.error()));
    if (caller.is_open()) {
        tell(caller, wire::encode_message(wire::Stream::Err, failure_text(done.error())));
        tell(caller, wire::encode_status(EINVAL));
    }
    return std::max(static_cast<int>(code_of(done.error())), 1);
}

}  // namespace alcove::nitro_cli
