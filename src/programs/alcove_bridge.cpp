// SPDX-License-Identifier: Apache-2.0
//
// alcove-bridge: both ends of the bridge between this machine and the embedded host.
//
//     alcove-bridge outer --folder DIR [--forward SOCKET=TARGET]...   here; goes into the background when it
//                                                                     serves
//     alcove-bridge agent --port DEVICE     inside
//     alcove-bridge serve-exec              inside, one for each program; started by agent
//     alcove-bridge hand-over TARGET        inside, one for each descriptor; started by agent
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "embedded/agent.hpp"
#include "embedded/exec_server.hpp"
#include "embedded/handover.hpp"
#include "embedded/outer_bridge.hpp"
#include "embedded/qemu_command.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;
using namespace alcove::embedded;

// The parent leaves as soon as the child serves, so that whoever started it need not guess.
Result<void> go_to_background(const std::string& folder) {
    auto log_file = TRY(sys::open(folder + "/bridge.log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
    auto nothing = TRY(sys::open("/dev/null", O_RDWR));
    const pid_t child = ::fork();
    if (child < 0) return fail_errno(errno, "fork");
    if (child > 0) {
        const auto written =
            sys::replace_file(folder + "/bridge.pid", as_byte_view(std::to_string(child) + "\n"), 0600);
        if (!written) ::kill(child, SIGKILL);
        ::_exit(written ? 0 : 1);
    }
    ::setsid();
    ::dup2(nothing.get(), 0);
    ::dup2(nothing.get(), 1);
    ::dup2(log_file.get(), 2);
    return {};
}

Result<void> outer(const std::string& folder, const std::vector<std::string>& forwards) {
    OuterBridge::Config config{.folder = folder, .forwards = {}};
    for (const auto& text : forwards) {
        const size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0 || text.find('/') < equals)
            return fail(ErrorCode::InvalidArgument, "--forward wants SOCKET=TARGET, not '" + text + "'");
        config.forwards.push_back({.socket_name = text.substr(0, equals), .target = text.substr(equals + 1)});
    }
    // The child's: an epoll instance is shared over fork, but nothing waits on it here.
    auto loop = TRY(EventLoop::create());
    auto wire = TRY(sys::unix_connect(folder + "/" + kPortSocket, SOCK_STREAM));
    const auto bridge = TRY(OuterBridge::create(*loop, config, std::move(wire), [&loop] { loop->stop(); }));
    TRY(go_to_background(folder));
    return loop->run();
}

// An empty VM for as long as the embedded host runs. KVM patches the kernel's scheduler when the first VM
// comes and when the last one goes, and QEMU's TCG, which this host runs on, now and then executes the
// breakpoint that stands there meanwhile: the host panics. With a VM always there nothing is patched.
Fd hold_a_vm() {
    const auto device = sys::open("/dev/kvm", O_RDWR);
    Fd vm(device ? ::ioctl(device->get(), KVM_CREATE_VM, 0UL) : -1);
    if (!vm.is_open()) log::warn("KVM does not work in this host");
    return vm;
}

Result<void> agent(const std::string& port) {
    const Fd held = hold_a_vm();
    // Programs' ends are nobody's business here: their own processes report them.
    ::signal(SIGCHLD, SIG_IGN);
    auto loop = TRY(EventLoop::create());
    const auto served = TRY(Agent::create(*loop, {.port = port,
                                                  .exec_command = {"/proc/self/exe", "serve-exec"},
                                                  .handover_command = {"/proc/self/exe", "hand-over"},
                                                  .poweroff_command = {"host-poweroff"}}));
    return loop->run();
}

}  // namespace

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);
    ::umask(077);
    log::start("alcove-bridge");

    CLI::App app("Carries streams between this machine and the embedded host.");
    app.require_subcommand(1);
    std::string folder;
    std::vector<std::string> forwards;
    std::string port;
    auto* outer_command = app.add_subcommand("outer", "serve the sockets in the state folder");
    outer_command->add_option("--folder", folder)->required();
    outer_command->add_option("--forward", forwards);
    auto* agent_command = app.add_subcommand("agent", "serve inside the embedded host");
    agent_command->add_option("--port", port)->required();
    auto* exec_command = app.add_subcommand("serve-exec", "run one program for the client on descriptor 0");
    std::string target;
    std::string descriptors_socket = "/run/alcove/descriptors.sock";
    auto* handover_command =
        app.add_subcommand("hand-over", "hand a descriptor to alcoved, for the client on descriptor 0");
    handover_command->add_option("target", target)->required();
    handover_command->add_option("--socket", descriptors_socket);
    CLI11_PARSE(app, argc, argv);

    Result<void> done;
    if (outer_command->parsed()) done = outer(folder, forwards);
    if (agent_command->parsed()) done = agent(port);
    if (exec_command->parsed()) {
        // Programs get their own file mode mask back.
        ::umask(022);
        auto stream = sys::duplicate(0);
        done = stream ? serve_exec(std::move(stream).value()) : Result<void>(Failure{stream.error()});
    }
    if (handover_command->parsed()) {
        auto stream = sys::duplicate(0);
        done = stream ? serve_handover(*stream, target, descriptors_socket)
                      : Result<void>(Failure{stream.error()});
    }
    if (done) return 0;
    std::cerr << "alcove-bridge: " << done.error().to_string() << "\n";
    return 1;
}
