// SPDX-License-Identifier: Apache-2.0
//
// key_service: runs in an enclave. It makes its key, listens on vsock port 5000 and serves until the machine
// ends.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <openssl/crypto.h>

#include "key_service/nsm_device.hpp"
#include "key_service/server.hpp"
#include "key_service/service.hpp"
#include "vsock/sockets.hpp"

namespace alcove::key_service {

namespace {

constexpr int kBacklog = 64;

Result<void> run() {
    NsmDevice security_module = TRY(NsmDevice::open());
    const KeyService service = TRY(KeyService::create(security_module));
    const Fd listener = TRY(listen_on_vsock(kServicePort, kBacklog));
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
