// SPDX-License-Identifier: Apache-2.0
#include "embedded/agent.hpp"

#include <algorithm>
#include <charconv>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#include <nlohmann/json.hpp>

#include "embedded/fd_endpoint.hpp"
#include "embedded/handover.hpp"
#include "embedded/process.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/memory_lines.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kListenPrefix = "listen:";
constexpr std::string_view kAcceptedPrefix = "accepted:";
constexpr auto kHostPoll = std::chrono::milliseconds(100);

// Says one text and ends; what it is sent is not for it.
class TextEndpoint : public StreamEndpoint {
  public:
    TextEndpoint(Mux& mux, StreamId id, std::string text) : mux_(mux), id_(id), text_(std::move(text)) {}

    Pulled pull(MutableByteView into) override {
        if (sent_ == text_.size()) return {.state = Pull::End};
        const size_t count = std::min(into.size(), text_.size() - sent_);
        std::copy_n(text_.begin() + static_cast<std::ptrdiff_t>(sent_), count, into.begin());
        sent_ += count;
        return {.state = Pull::Data, .bytes = count};
    }
    void deliver(ByteView bytes) override { mux_.consumed(id_, bytes.size()); }
    void peer_shutdown() override {}
    void closed(const Error*) override {}

  private:
    Mux& mux_;
    StreamId id_;
    std::string text_;
    size_t sent_ = 0;
};

std::string status_text() {
    struct sysinfo info {};
    ::sysinfo(&info);
    const auto available = memory_line_of("/proc/meminfo", "MemAvailable");
    const nlohmann::json status = {{"version", ALCOVE_VERSION},
                                   {"uptime_seconds", info.uptime},
                                   {"memory_mib", info.totalram / 1024 * info.mem_unit / 1024},
                                   {"memory_available_mib", available.value_or(0) / 1_MiB}};
    return status.dump() + "\n";
}

}  // namespace

Result<std::unique_ptr<Agent>> Agent::create(EventLoop& loop, Config config) {
    auto wire = TRY(sys::open(config.port, O_RDWR | O_NONBLOCK));
    return create_on(loop, std::move(config), std::move(wire));
}

Result<std::unique_ptr<Agent>> Agent::create_on(EventLoop& loop, Config config, Fd wire) {
    std::unique_ptr<Agent> agent(new Agent(loop, std::move(config)));
    Agent* const self = agent.get();
    agent->link_ = TRY(Link::create(
        loop, std::move(wire), Session::Role::Inner,
        Link::Callbacks{
            .accept = [self](StreamId id, const std::string& target) { return self->accept(id, target); },
            .changed = [](Session::State) {},
            .lost = [self] { self->wait_for_host(); },
        }));
    return agent;
}

// The port hangs up while nobody holds its outer end, and says so without pause; so it is looked at now and
// then instead of being watched.
void Agent::wait_for_host() {
    timer_ = loop_.after(kHostPoll, [this] {
        pollfd port{.fd = link_->wire().get(), .events = POLLIN | POLLOUT, .revents = 0};
        ::poll(&port, 1, 0);
        if ((port.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
            wait_for_host();
            return;
        }
        if (const auto resumed = link_->resume(); !resumed) {
            log::error("agent: {}", resumed.error().to_string());
            loop_.stop();
        }
    });
}

Result<std::unique_ptr<StreamEndpoint>> Agent::accept(StreamId id, const std::string& target) {
    Mux& mux = *link_->mux();  // streams come only while the session runs
    if (target == "status") return std::make_unique<TextEndpoint>(mux, id, status_text());
    if (target == "poweroff") {
        SpawnOptions options;
        options.arguments = config_.poweroff_command;
        options.descriptors = {-1, -1, 2};
        options.new_session = true;
        TRY(spawn(options));
        return std::make_unique<TextEndpoint>(mux, id, "");
    }
    if (target.starts_with(kListenPrefix)) {
        auto listening =
            TRY(ListenEndpoint::create(loop_, mux, id, arrivals_, target.substr(kListenPrefix.size())));
        return std::unique_ptr<StreamEndpoint>(std::move(listening));
    }
    auto socket = TRY(socket_of(target));
    return std::make_unique<FdEndpoint>(loop_, mux, id, std::move(socket));
}

Result<Fd> Agent::socket_of(const std::string& target) {
    if (target == "exec") return start_program(config_.exec_command);
    if (is_handover(target)) {
        auto command = config_.handover_command;
        command.push_back(target);
        return start_program(std::move(command));
    }
    // Not blocking: a server that does not accept must not stop every other stream.
    if (target.starts_with(kUnixPrefix))
        return sys::unix_connect(target.substr(kUnixPrefix.size()), SOCK_STREAM | SOCK_NONBLOCK);
    if (target.starts_with(kAcceptedPrefix)) {
        uint64_t number = 0;
        const char* const end = target.data() + target.size();
        const auto read = std::from_chars(target.data() + kAcceptedPrefix.size(), end, number);
        if (read.ec == std::errc() && read.ptr == end) return arrivals_.take(number);
    }
    return fail(ErrorCode::InvalidArgument, "the embedded host knows no target '" + target + "'");
}

// With one end of a stream as descriptor 0; the other is what comes back.
Result<Fd> Agent::start_program(std::vector<std::string> arguments) {
    auto ends = TRY(sys::socket_pair(SOCK_STREAM));
    SpawnOptions options;
    options.arguments = std::move(arguments);
    options.descriptors = {ends.second.get(), -1, 2};
    TRY(spawn(options));  // its end is collected by SIGCHLD's disposition
    return std::move(ends.first);
}

}  // namespace alcove::embedded
