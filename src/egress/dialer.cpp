// SPDX-License-Identifier: Apache-2.0
#include "egress/dialer.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "egress/dial_messages.hpp"
#include "support/guarded.hpp"
#include "support/log.hpp"

namespace alcove::egress {

namespace {

constexpr uint32_t kLinesAtOnce = 20;
constexpr std::chrono::minutes kLinesPeriod(1);

// Connected and non-blocking; the errno otherwise.
struct Attempt {
    Fd socket;
    int error = 0;
};
Attempt connect_to(const IpAddress& address, uint16_t port, std::chrono::milliseconds patience) {
    Fd socket(::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.is_open()) return {.socket = {}, .error = errno};
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    socklen_t size = 0;
    const auto where = address.socket_address(port, size);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&where), size) == 0)
        return {.socket = std::move(socket), .error = 0};
    if (errno != EINPROGRESS) return {.socket = {}, .error = errno};
    pollfd waiting{.fd = socket.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) == 0)
        return {.socket = {}, .error = ETIMEDOUT};
    int error = 0;
    socklen_t error_size = sizeof error;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) return {.socket = {}, .error = error};
    return {.socket = std::move(socket), .error = 0};
}

Verdict refuse(Status status, std::string reason) {
    return {.addresses = {}, .status = status, .reason = std::move(reason)};
}

}  // namespace

Result<std::vector<IpAddress>> resolve_by_system(const std::string& name) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* list = nullptr;
    const int failed = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
    if (failed != 0) return fail(ErrorCode::NotFound, ::gai_strerror(failed));
    std::vector<IpAddress> addresses;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next)
        if (const auto address = IpAddress::of(*one->ai_addr)) addresses.push_back(*address);
    ::freeaddrinfo(list);
    return addresses;
}

Verdict judge(const Rules& rules, const ConnectTarget& target, const Resolve& resolve) {
    if (const auto address = IpAddress::parse(target.host)) {
        if (rules.gives(*address, target.port)) return {.addresses = {*address}, .reason = {}};
        return refuse(Status::Forbidden, "no rule gives this address");
    }
    const auto name = normal_name(target.host);
    if (!name) return refuse(Status::BadRequest, "this is no host's name");
    const auto rule = rules.for_name(*name, target.port);
    if (!rule) return refuse(Status::Forbidden, "no rule allows this name and port");
    if (rule->address) return {.addresses = {*rule->address}, .reason = {}};
    auto found = resolve(*name);
    if (!found) return refuse(Status::BadGateway, "it is not resolved: " + found.error().to_string());
    std::erase_if(*found, [&](const IpAddress& address) {
        return !is_public(address) && !rules.gives(address, target.port);
    });
    if (found->empty())
        return refuse(Status::Forbidden, "it has no public address, and no rule gives one that it has");
    return {.addresses = std::move(*found), .reason = {}};
}

// What the threads have in common. It outlives the dialer, for they do.
struct Dialer::Shared {
    Rules rules;
    DialLimits limits;
    Resolve resolve;
    Channel proxy;
    std::atomic<size_t> at_work{0};  // counted up by serve(), down by each thread; a limit, no more
    Guarded<log::RateLimit> lines{kLinesAtOnce, kLinesPeriod};

    void say(const ConnectTarget& target, std::string_view what) {
        uint64_t left_out = 0;
        if (!lines.with([&](log::RateLimit& limit) { return limit.allow(left_out); })) return;
        const auto host = api::printable(as_byte_view(target.host));
        log::warn("refused {}:{}: {}{}", host, target.port, what,
                  left_out == 0 ? "" : " (" + std::to_string(left_out) + " like this were not told)");
    }

    void answer(uint32_t request, Status status, const Fd& socket = {}) const {
        const Dialed reply{.request = request, .status = static_cast<uint16_t>(status), .reserved = {}};
        std::vector<int> descriptors;
        if (socket.is_open()) descriptors.push_back(socket.get());
        // A proxy that is gone needs no answer.
        (void)proxy.send(api::encode(reply), descriptors);
    }

    void dial(uint32_t request, const ConnectTarget& target) {
        auto verdict = judge(rules, target, resolve);
        if (verdict.addresses.empty()) {
            say(target, verdict.reason);
            return answer(request, verdict.status);
        }
        verdict.addresses.resize(std::min(verdict.addresses.size(), limits.addresses),
                                 verdict.addresses.front());
        Attempt attempt;
        for (const auto& address : verdict.addresses) {
            attempt = connect_to(address, target.port, limits.connect);
            if (attempt.socket.is_open()) return answer(request, Status::Established, attempt.socket);
        }
        answer(request, attempt.error == ETIMEDOUT ? Status::GatewayTimeout : Status::BadGateway);
    }
};

Dialer::Dialer(Rules rules, DialLimits limits, Resolve resolve) : shared_(std::make_shared<Shared>()) {
    shared_->rules = std::move(rules);
    shared_->limits = limits;
    shared_->resolve = std::move(resolve);
}

Result<void> Dialer::serve(Channel proxy) const {
    shared_->proxy = std::move(proxy);
    while (true) {
        auto message = shared_->proxy.receive();
        if (!message && message.error().code() == ErrorCode::ConnectionLost) return {};
        if (!message) return Failure{message.error()};
        const auto envelope = TRY(api::open_envelope(message->data));
        const auto question = TRY(api::decode<Dial>(envelope));
        const auto host = question.host.text();
        if (!host || question.end != 0 || !message->descriptors.empty())
            return fail(ErrorCode::InvalidMessage, "a question that is none");
        const ConnectTarget target{.host = std::string(*host), .port = question.port};
        if (shared_->at_work.fetch_add(1) >= shared_->limits.at_once) {
            shared_->at_work.fetch_sub(1);
            shared_->answer(question.request, Status::Unavailable);
            continue;
        }
        std::thread([shared = shared_, request = uint32_t{question.request}, target] {
            shared->dial(request, target);
            shared->at_work.fetch_sub(1);
        }).detach();
    }
}

}  // namespace alcove::egress
