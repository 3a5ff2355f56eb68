// SPDX-License-Identifier: Apache-2.0
#include "vsock/sockets.hpp"

#include <cerrno>

#include <linux/vm_sockets.h>
#include <sys/socket.h>

namespace alcove {

namespace {

sockaddr_vm address_of(uint32_t cid, uint32_t port) {
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid;
    address.svm_port = port;
    return address;
}

Result<Fd> vsock_socket() {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return fail_errno(errno, "making a vsock socket");
    return socket;
}

}  // namespace

Result<Fd> listen_on_vsock(uint32_t port, int backlog) {
    Fd socket = TRY(vsock_socket());
    const sockaddr_vm address = address_of(VMADDR_CID_ANY, port);
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "binding to vsock port " + std::to_string(port));
    if (listen(socket.get(), backlog) != 0) return fail_errno(errno, "listening");
    return socket;
}

Result<Fd> connect_to_vsock(uint32_t cid, uint32_t port) {
    Fd socket = TRY(vsock_socket());
    const sockaddr_vm address = address_of(cid, port);
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(
            errno, "connecting to port " + std::to_string(port) + " of context " + std::to_string(cid));
    return socket;
}

Result<Fd> connect_to_parent(uint32_t port) {
    return connect_to_vsock(kParentCid, port);
}

}  // namespace alcove
