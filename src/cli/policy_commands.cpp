// SPDX-License-Identifier: Apache-2.0
//
// alcove vm policy, and alcove ne policy inside the VM: what CPU policy the enclaves have that a primary VM
// carves from now on.
#include <cerrno>

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/vm_access.hpp"
#include "support/error_catalog.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

// docs/cli.md. The host serves it to ports below 1024 alone, which a kernel gives to root only.
constexpr unsigned kPolicyPort = 9002;
constexpr unsigned kLastReservedPort = 1023;
constexpr unsigned kFirstPortTried = 512;

sockaddr_vm vsock_address(unsigned cid, unsigned port) {
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid;
    address.svm_port = port;
    return address;
}

Result<void> bind_reserved_port(const Fd& socket) {
    for (unsigned port = kLastReservedPort; port >= kFirstPortTried; --port) {
        const auto own = vsock_address(VMADDR_CID_ANY, port);
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0) return {};
        if (errno == EACCES) return fail(ErrorCode::PermissionDenied, "only root may ask the host for this");
        if (errno != EADDRINUSE) return fail_errno(errno, "binding a vsock port");
    }
    return fail(ErrorCode::LimitExceeded, "every vsock port of root's is in use");
}

Result<Fd> connect_to_host() {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open())
        return fail_errno(errno, "there is no vsock here: this command is for the inside of a primary VM");
    TRY(bind_reserved_port(socket));
    const auto host = vsock_address(VMADDR_CID_HOST, kPolicyPort);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&host), sizeof host) != 0)
        return fail_errno(errno, "the host does not answer on port " + std::to_string(kPolicyPort) +
                                     ": is this a primary VM that may carve enclaves?");
    return socket;
}

Result<std::string> read_line(const Fd& socket) {
    constexpr size_t kMaxLine = 1024;
    std::string line;
    while (line.size() < kMaxLine) {
        char c = 0;
        const auto transfer = TRY(sys::read_some(socket, {reinterpret_cast<uint8_t*>(&c), 1}));
        if (transfer.bytes == 0) return fail(ErrorCode::ConnectionLost, "the host hung up without an answer");
        if (c == '\n') return line;
        line += c;
    }
    return fail(ErrorCode::InvalidMessage, "the host's answer is too long");
}

}  // namespace

// "ok shared", or "error <name> <words>": vmm/policy_port.hpp.
Result<std::string> read_policy_answer(std::string_view line) {
    if (line.starts_with("ok ")) return std::string(line.substr(3));
    if (!line.starts_with("error "))
        return fail(ErrorCode::InvalidMessage, "the host's answer is not understood");
    line.remove_prefix(6);
    const auto name = line.substr(0, line.find(' '));
    const auto entry = find_error(name);
    return fail(entry ? entry->code : ErrorCode::Internal,
                std::string(line.substr(std::min(line.size(), name.size() + 1))));
}

Result<Exit> run(const VmPolicy& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto path = vm_path(VmKind::Primary, command.vm);
    const auto json =
        TRY(command.policy.empty() ? host->api().get(path)
                                   : host->api().post(path + "/policy", {{"policy", command.policy}}));
    const auto policy = json.find("enclave_policy");
    const bool carves = policy != json.end() && policy->is_string();
    context.output.result(json, carves ? policy->get<std::string>() + "\n" : "it carves no enclaves\n");
    return Exit::Ok;
}

Result<Exit> run(const NePolicy& command, const Context& context) {
    const auto socket = TRY(connect_to_host());
    const std::string question = command.policy.empty() ? "policy\n" : "policy " + command.policy + "\n";
    TRY(sys::write_all(socket, as_byte_view(question)));
    const auto line = TRY(read_line(socket));
    const auto policy = TRY(read_policy_answer(line));
    context.output.result({{"enclave_policy", policy}}, policy + "\n");
    return Exit::Ok;
}

}  // namespace alcove::cli
