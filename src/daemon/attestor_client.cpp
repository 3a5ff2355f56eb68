// SPDX-License-Identifier: Apache-2.0
#include "daemon/attestor_client.hpp"

#include <algorithm>

#include <sys/socket.h>

#include "api/attestor_messages.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

constexpr std::chrono::seconds kPatience{5};
constexpr uint32_t kRequest = 1;

// The answer's datagram.
Result<Bytes> ask(const std::string& socket_path, const Bytes& question) {
    auto socket = sys::unix_connect(socket_path, SOCK_SEQPACKET);
    if (!socket)
        return fail(ErrorCode::ConnectionLost,
                    "alcove-attestor cannot be reached: " + socket.error().to_string());
    const Channel channel(std::move(*socket));
    TRY(api::exchange_hello(channel, api::Protocol::Attestor, api::attestor::kVersions, kPatience));
    TRY(channel.send(question));
    auto answer = TRY(channel.receive_within(kPatience));
    const auto envelope = TRY(api::open_envelope(answer.data));
    if (envelope.type == api::Failed::kType) {
        auto failed = TRY(api::decode_failed(envelope));
        return Failure{std::move(failed.error)};
    }
    return std::move(answer.data);
}

}  // namespace

Result<RootCertificate> ask_for_root(const std::string& socket_path) {
    const auto answer = TRY(ask(
        socket_path, api::encode(api::attestor::GetRootCertificate{.request = kRequest, .reserved = {}})));
    const auto envelope = TRY(api::open_envelope(answer));
    const auto root = TRY(api::decode_with_tail<api::attestor::RootCertificate>(envelope));
    return RootCertificate{
        .pem = std::string(as_text(root.tail)),
        .development = (root.body.flags & api::attestor::RootCertificate::kDevelopment) != 0};
}

Result<AttestorStatus> ask_for_status(const std::string& socket_path) {
    const auto answer =
        TRY(ask(socket_path, api::encode(api::attestor::GetStatus{.request = kRequest, .reserved = {}})));
    const auto envelope = TRY(api::open_envelope(answer));
    const auto told = TRY(api::decode<api::attestor::Status>(envelope));
    return AttestorStatus{
        .root_fingerprint = told.root_fingerprint,
        .development = (told.flags & api::attestor::Status::kDevelopment) != 0,
        .issuer_not_after = static_cast<int64_t>(std::min<uint64_t>(told.issuer_not_after, INT64_MAX / 1000)),
        .vms = told.vms,
        .documents = told.documents,
        .rejected = told.rejected,
        .violations = told.violations};
}

}  // namespace alcove::daemon
