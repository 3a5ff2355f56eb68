// SPDX-License-Identifier: Apache-2.0
//
// key_service: runs in an enclave. It makes its key, listens on vsock port 5000 and serves until the machine
// ends.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include <openssl/crypto.h>

#include "key_service/nsm_device.hpp"
#include "key_service/server.hpp"
#include "key_service/service.hpp"

namespace alcove::key_service {

namespace {

constexpr int kBacklog = 64;

Result<Fd> listen_on(uint32_t port) {
    Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return fail_errno(errno, "making a vsock socket");
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = VMADDR_CID_ANY;
    address.svm_port = port;
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "binding to vsock port " + std::to_string(port));
    if (listen(socket.get(), kBacklog) != 0) return fail_errno(errno, "listening");
    return socket;
}

Result<void> run() {
    NsmDevice security_module = TRY(NsmDevice::open());
    const KeyService service = TRY(KeyService::create(security_module));
    const Fd listener = TRY(listen_on(kServicePort));
    std::printf("key_service: listening on vsock port %u\n", kServicePort);
    std::fflush(stdout);
    Server server(service);
    return server.run(listener);
}

}  // namespace

}  // namespace alcove::key_service

int main() {
    // No configuration file: what an enclave does is what was measured.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    const auto ended = alcove::key_service::run();
    std::fprintf(stderr, "key_service: %s\n", ended.error().to_string().c_str());
    return EXIT_FAILURE;
}
