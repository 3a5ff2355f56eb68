// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nitro_cli/enclave_process.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr const char* kName = "nitro-cli";

// From here on what this process writes is in the log, and nothing else is anybody's.
void redirect(const std::string& log) {
    const auto nothing = sys::open("/dev/null", O_RDWR);
    if (nothing) {
        ::dup2(nothing->get(), STDIN_FILENO);
        ::dup2(nothing->get(), STDOUT_FILENO);
        ::dup2(nothing->get(), STDERR_FILENO);
    }
    const auto file = sys::open(log, O_WRONLY | O_CREAT | O_APPEND, 0664);
    if (file) ::dup2(file->get(), STDERR_FILENO);
    log::start(std::string(kName) + " " + std::to_string(::getpid()));
}

}  // namespace

Result<Fd> run_detached(const std::string& log, const std::function<int(Fd)>& body) {
    auto pair = TRY(coded(FailureCode::SocketPair, sys::socket_pair(SOCK_STREAM)));
    const pid_t child = ::fork();
    if (child < 0) return coded<Fd>(FailureCode::ProcessSpawn, fail_errno(errno, "fork"));
    if (child == 0) {
        pair.first.reset();
        // The session's leader ends at once: what is left can never have a terminal, and belongs to
        // process 1.
        if (::setsid() < 0) ::_exit(1);
        const pid_t grandchild = ::fork();
        if (grandchild != 0) ::_exit(grandchild < 0 ? 1 : 0);
        redirect(log);
        ::_exit(body(std::move(pair.second)));
    }
    pair.second.reset();
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(FailureCode::Daemonize, "the enclave's process could not leave this session");
    return std::move(pair.first);
}

}  // namespace alcove::nitro_cli
