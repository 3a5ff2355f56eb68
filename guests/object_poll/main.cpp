// SPDX-License-Identifier: Apache-2.0
//
// object_poll HOST:PORT BUCKET KEY CA-FILE [SECONDS]: runs in an enclave that has an egress to HOST:PORT. It
// looks into the bucket and after the object again and again, and tells what it has to whoever connects to
// vsock port 5001.
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <sys/socket.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "key_service/hex.hpp"
#include "object_poll/object_store.hpp"
#include "object_poll/status.hpp"
#include "object_poll/tls_stream.hpp"
#include "support/system.hpp"
#include "vsock/sockets.hpp"

namespace alcove::object_poll {

namespace {

constexpr uint32_t kEgressPort = 3128;  // docs/egress.md
constexpr uint32_t kStatusPort = 5001;
constexpr int kBacklog = 16;
constexpr long kPatienceSeconds = 30;
constexpr unsigned kDefaultSeconds = 5;

// A stall costs one poll.
Result<Fd> connect_to_egress() {
    Fd socket = TRY(connect_to_parent(kEgressPort));
    const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        ::setsockopt(socket.get(), SOL_SOCKET, option, &patience, sizeof patience);
    return socket;
}

std::string sha256_of(const std::string& text) {
    std::array<uint8_t, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
    return key_service::to_hex(digest);
}

void tell(const Fd& listener, const Status& status) {
    while (true) {
        const auto client = sys::accept(listener);
        if (!client) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            continue;
        }
        (void)sys::write_all(*client, as_byte_view(status.json()));
    }
}

Result<void> run(const Place& place, const std::string& authority_file, unsigned seconds) {
    const auto tls = TRY(TlsClient::create(authority_file));
    const std::string host = place.authority.substr(0, place.authority.rfind(':'));
    const Connect connect = [&]() -> Result<std::unique_ptr<Stream>> {
        auto socket = TRY(connect_to_egress());
        auto stream = std::make_unique<SocketStream>(std::move(socket));
        TRY(open_tunnel(*stream, place.authority));
        return tls.handshake(std::move(stream), host);
    };
    const Fd listener = TRY(listen_on_vsock(kStatusPort, kBacklog));
    Status status;
    std::thread([&] { tell(listener, status); }).detach();
    Seen seen;
    while (true) {
        const auto outcome = poll_once(connect, place, seen);
        status.record(seen, outcome, sha256_of(seen.body));
        if (!outcome) std::fprintf(stderr, "object_poll: %s\n", outcome.error().to_string().c_str());
        if (seen.changed) std::printf("object_poll: %s is now %s\n", place.key.c_str(), seen.etag.c_str());
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::seconds(seconds));
    }
}

}  // namespace

}  // namespace alcove::object_poll

int main(int argc, char** argv) {
    if (argc < 5 || argc > 6) {
        std::fprintf(stderr, "usage: object_poll HOST:PORT BUCKET KEY CA-FILE [SECONDS]\n");
        return 2;
    }
    // No configuration file: what an enclave does is what was measured.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    const unsigned seconds = argc == 6 ? static_cast<unsigned>(std::strtoul(argv[5], nullptr, 10))
                                       : alcove::object_poll::kDefaultSeconds;
    const auto ended =
        alcove::object_poll::run({.authority = argv[1], .bucket = argv[2], .key = argv[3]}, argv[4], seconds);
    std::fprintf(stderr, "object_poll: %s\n", ended.error().to_string().c_str());
    return EXIT_FAILURE;
}
