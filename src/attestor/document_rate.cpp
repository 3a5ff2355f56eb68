// SPDX-License-Identifier: Apache-2.0
#include "attestor/document_rate.hpp"

#include <ctime>
#include <thread>

#include <sys/socket.h>

#include "attestor/server.hpp"
#include "support/system.hpp"

namespace alcove::attestor {

namespace {

namespace wire = api::attestor;

constexpr auto kAnswerTimeout = std::chrono::seconds(10);

// Sends a request and gives the answer's datagram.
Result<Bytes> ask(const Channel& channel, const Bytes& request, uint16_t answer_type) {
    TRY(channel.send(request));
    auto answer = TRY(channel.receive_within(kAnswerTimeout));
    const auto envelope = TRY(api::open_envelope(answer.data));
    if (envelope.type != answer_type) return api::wrong_body(envelope.type, envelope.body.size());
    return std::move(answer.data);
}

Result<void> open_vm(const Channel& channel) {
    TRY(api::exchange_hello(channel, api::Protocol::Attestor, wire::kVersions));
    wire::Open open{};
    open.vm_id = api::VmId::Field::of("document-rate");
    open.module_id = api::TextField<128>::of("i-document-rate-enc0");
    open.host_time_ms = static_cast<uint64_t>(std::time(nullptr)) * 1000;
    TRY(ask(channel, api::encode(open), wire::Done::kType));
    wire::Measured measured{};
    measured.pcr0.fill(1);
    TRY(ask(channel, api::encode(measured), wire::Sealed::kType));
    return {};
}

Result<DocumentRate> ask_for(const Channel& channel, std::chrono::milliseconds duration) {
    TRY(open_vm(channel));
    const Bytes nonce(32, 0x5a);
    const Bytes request = wire::encode_attest(1, {.user_data = {}, .nonce = nonce, .public_key = {}});
    TRY(ask(channel, request, wire::Document::kType));  // the first makes the enclave's key
    const auto begin = std::chrono::steady_clock::now();
    uint64_t documents = 0;
    while (std::chrono::steady_clock::now() - begin < duration) {
        TRY(ask(channel, request, wire::Document::kType));
        ++documents;
    }
    return DocumentRate{.documents = documents, .elapsed = std::chrono::steady_clock::now() - begin};
}

}  // namespace

Result<DocumentRate> measure_document_rate(const std::string& run_folder,
                                           std::chrono::milliseconds duration) {
    auto authority = TRY(Authority::ephemeral(HostKind::Development, std::chrono::system_clock::now));
    auto store = TRY(SessionStore::open(run_folder));
    auto loop = TRY(EventLoop::create());
    auto listener = TRY(sys::unix_listen(run_folder + "/rate.sock", SOCK_SEQPACKET, 0600));
    auto server =
        TRY(Server::create(*loop, {.main = std::move(listener)}, std::move(authority), std::move(store), {}));
    auto pair = TRY(sys::socket_pair(SOCK_SEQPACKET));
    TRY(server->adopt(std::move(pair.first), PeerRole::Broker));

    std::thread thread([&loop] { static_cast<void>(loop->run()); });
    auto rate = ask_for(Channel(std::move(pair.second)), duration);
    loop->stop();
    thread.join();
    return rate;
}

}  // namespace alcove::attestor
