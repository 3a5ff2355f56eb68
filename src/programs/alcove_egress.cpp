// SPDX-License-Identifier: Apache-2.0
//
// alcove-egress: lets an enclave reach what rules name (egress/README.md). Needs no privilege; started as
// root it becomes nobody.
#include <cerrno>
#include <csignal>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "egress/dialer.hpp"
#include "egress/isolation.hpp"
#include "egress/proxy.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;

struct Settings {
    std::string socket;
    std::vector<std::string> rules;
    size_t connections = egress::ProxyLimits{}.tunnels;
    uint64_t idle_seconds = 600;
    bool with_input = false;
};

// `ready` is told when it serves, behind its closed door.
Result<void> run_proxy(Fd listener, Fd dialer, const egress::ProxyLimits& limits, Fd ready) {
    TRY(egress::leave_networks());
    TRY(egress::drop_privileges());
    auto loop = TRY(EventLoop::create());
    const auto proxy = TRY(egress::Proxy::create(*loop, std::move(listener), Channel(std::move(dialer)),
                                                 limits, [&loop] { loop->stop(); }));
    log::info("serves");  // the first line needs files that later ones do not
    TRY(egress::enter_proxy_sandbox());
    TRY(sys::write_all(ready, as_byte_view("1")));
    ready.reset();
    return loop->run();
}

// The dialer's end of the line to it. The proxy ends when that is closed.
Result<Fd> begin_proxy(Fd listener, const egress::ProxyLimits& limits) {
    auto ends = TRY(sys::socket_pair(SOCK_SEQPACKET));
    auto ready = TRY(sys::pipe());
    const pid_t child = ::fork();
    if (child < 0) return fail_errno(errno, "fork of the proxy");
    if (child == 0) {
        ends.first.reset();
        ready.first.reset();
        const auto ran =
            run_proxy(std::move(listener), std::move(ends.second), limits, std::move(ready.second));
        if (!ran) log::error("the proxy: {}", ran.error().to_string());
        ::_exit(ran ? 0 : 1);
    }
    ready.second.reset();
    Bytes word(1);
    const auto told = TRY(sys::read_some(ready.first, word));
    if (told.bytes == 0) return fail(ErrorCode::Unsupported, "the proxy does not start; it has said why");
    return std::move(ends.first);
}

// What the caller holds open for as long as this is needed.
void end_with_input() {
    std::thread([] {
        pollfd input{.fd = STDIN_FILENO, .events = POLLRDHUP, .revents = 0};
        while (::poll(&input, 1, -1) < 0 ||
               (input.revents & (POLLHUP | POLLERR | POLLRDHUP | POLLNVAL)) == 0) {
        }
        ::_exit(0);
    }).detach();
}

Result<void> run(const Settings& settings) {
    auto rules = TRY(egress::Rules::parse(settings.rules));
    egress::ProxyLimits limits;
    limits.tunnels = settings.connections;
    limits.tunnel.idle = std::chrono::seconds(settings.idle_seconds);
    auto listener = TRY(sys::unix_listen(settings.socket, SOCK_STREAM, 0666));
    auto proxy = TRY(begin_proxy(std::move(listener), limits));
    TRY(egress::drop_privileges());
    if (settings.with_input) end_with_input();
    std::cout << "serves " << settings.socket << std::endl;
    return egress::Dialer(std::move(rules), {}).serve(Channel(std::move(proxy)));
}

}  // namespace

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);
    ::umask(022);
    log::start("alcove-egress");
    Settings settings;
    CLI::App app("Lets an enclave reach the hosts that rules name, by HTTP CONNECT on a Unix socket.");
    app.add_option("--socket", settings.socket, "The socket to serve: port-3128.sock in an enclave's folder")
        ->required();
    app.add_option("--allow", settings.rules,
                   "NAME:PORTS, *.NAME:PORTS, NAME:PORTS=ADDRESS, ADDRESS/BITS:PORTS or [IPv6/BITS]:PORTS "
                   "(repeatable)")
        ->expected(1)
        ->take_all();
    app.add_option("--connections", settings.connections, "At once")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--idle", settings.idle_seconds, "Seconds without a byte that end a connection")
        ->check(CLI::Range(1, 86400))
        ->capture_default_str();
    app.add_flag("--with-input", settings.with_input, "End when standard input ends");
    CLI11_PARSE(app, argc, argv);
    const auto done = run(settings);
    if (done) return 0;
    std::cerr << "alcove-egress: " << done.error().to_string() << "\n";
    return 1;
}
