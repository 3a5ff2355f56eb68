// SPDX-License-Identifier: Apache-2.0
//
// alcove attest ...
#include <chrono>

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "attestation/verifier.hpp"
#include "cli/attest_view.hpp"
#include "cli/commands.hpp"
#include "cli/progress.hpp"
#include "codec/hex.hpp"
#include "eif/measure.hpp"
#include "eif/signature.hpp"
#include "support/bits.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr uint64_t kMaxDocument = 64_KiB;
constexpr uint64_t kMaxFile = 1_MiB;

Result<Bytes> read_document(const std::string& path) {
    // A document is small, whatever the file is.
    return sys::read_file(path == "-" ? "/dev/stdin" : path, kMaxDocument);
}

// A PCR demanded twice must be demanded alike.
Result<void> demand(attestation::Policy& policy, uint32_t index, Bytes value) {
    const auto [place, fresh] = policy.pcrs.emplace(index, value);
    if (!fresh && place->second != value)
        return fail(ErrorCode::InvalidArgument,
                    "PCR" + std::to_string(index) + " is demanded with two values");
    return {};
}

Result<void> demand_image(attestation::Policy& policy, const std::string& path, const Output& output) {
    const auto file = TRY(sys::open(path, O_RDONLY));
    const uint64_t size = TRY(sys::file_size(file).context(path));
    const auto mapping = TRY(Mapping::read_only(file, size).context(path));
    const auto image = TRY(eif::Image::parse(mapping.bytes()).context(path));
    const Progress progress(output, "measuring " + path);
    const auto measurements = eif::measure(image);
    TRY(demand(policy, 0, to_bytes(measurements.pcr0)));
    TRY(demand(policy, 1, to_bytes(measurements.pcr1)));
    TRY(demand(policy, 2, to_bytes(measurements.pcr2)));
    if (!image.signature()) return {};
    const auto signature = TRY(eif::ImageSignature::parse(*image.signature()).context(path));
    return demand(policy, 8, to_bytes(signature.pcr8()));
}

Result<std::string> fetch_root(const Context& context) {
    auto host = TRY(context.open_host());
    return host->api().get_text("/v1/attestation/root");
}

Result<void> choose_root(const AttestVerify& command, const Context& context, attestation::Policy& policy) {
    if (!command.root_fingerprint.empty()) {
        policy.root_fingerprint = TRY(crypto::parse_fingerprint(command.root_fingerprint));
        return {};
    }
    std::string pem;
    if (command.root_from_host) {
        pem = TRY(fetch_root(context));
    } else {
        const auto file = TRY(sys::read_file(command.root, kMaxFile));
        pem = as_text(file);
    }
    policy.root = TRY(crypto::Certificate::from_pem(pem).context("the root certificate"));
    return {};
}

Result<attestation::Policy> make_policy(const AttestVerify& command, const Context& context) {
    attestation::Policy policy;
    TRY(choose_root(command, context, policy));
    policy.now = std::chrono::system_clock::now();
    if (!command.at.empty()) policy.now = TRY(parse_time(command.at));
    if (command.max_age_seconds) policy.max_age = std::chrono::seconds(*command.max_age_seconds);
    policy.allow_debug = command.allow_debug;
    policy.allow_development = command.allow_development;
    for (const auto& text : command.pcrs) {
        auto pcr = TRY(parse_pcr(text));
        TRY(demand(policy, pcr.first, std::move(pcr.second)));
    }
    if (!command.image.empty()) TRY(demand_image(policy, command.image, context.output));
    if (!command.nonce.empty()) policy.nonce = TRY(codec::hex_decode(command.nonce).context("--nonce"));
    if (!command.user_data.empty())
        policy.user_data = TRY(codec::hex_decode(command.user_data).context("--user-data"));
    if (!command.public_key.empty()) {
        const auto file = TRY(sys::read_file(command.public_key, kMaxFile));
        policy.public_key = TRY(public_key_bytes(file).context(command.public_key));
    }
    for (const auto& path : command.revocation_lists) {
        const auto file = TRY(sys::read_file(path, kMaxFile));
        auto list = TRY(crypto::RevocationList::from_pem_or_der(file).context(path));
        policy.revocation_lists.push_back(std::move(list));
    }
    return policy;
}

}  // namespace

Result<Exit> run(const AttestVerify& command, const Context& context) {
    const auto policy = TRY(make_policy(command, context));
    const auto document = TRY(read_document(command.document));
    const auto verification = attestation::verify_document(document, policy);
    context.output.result(verification_json(verification), render_verification(verification));
    if (verification.verified()) return Exit::Ok;
    context.output.streams().err(error_text(*verification.error));
    return Exit::NotVerified;
}

Result<Exit> run(const AttestRoot& command, const Context& context) {
    const auto pem = TRY(fetch_root(context));
    const auto certificate = TRY(crypto::Certificate::from_pem(pem));
    const auto fingerprint = codec::hex_encode(certificate.fingerprint());
    if (!command.output.empty()) TRY(sys::replace_file(command.output, as_byte_view(pem), 0644));
    const Json json = {
        {"certificate", pem}, {"fingerprint", fingerprint}, {"subject", certificate.subject_text()}};
    context.output.result(json, command.output.empty() ? pem : command.output + "\n");
    context.output.note("SHA-256 fingerprint " + fingerprint);
    return Exit::Ok;
}

}  // namespace alcove::cli
