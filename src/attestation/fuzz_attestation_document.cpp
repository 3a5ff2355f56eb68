// SPDX-License-Identifier: Apache-2.0
//
// Foreign bytes as an attestation document. The first byte says whether the rest is a whole document or only
// its payload, so that the field rules are reached without a valid envelope. Nothing may be believed: the
// trusted root is one whose key is thrown away.
#include <cstdlib>

#include "attestation/verifier.hpp"

namespace {

using namespace alcove;

const attestation::Policy& policy() {
    static const attestation::Policy kPolicy = [] {
        const attestation::TimePoint now{std::chrono::seconds(1'750'000'000)};
        const auto key = crypto::PrivateKey::generate(crypto::Curve::P384).value();
        attestation::Policy made;
        made.root = attestation::make_root(key, attestation::HostKind::Production, now).value();
        made.now = now;
        return made;
    }();
    return kPolicy;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const ByteView rest(data + 1, size - 1);
    if ((data[0] & 1) == 0) {
        if (attestation::verify_document(rest, policy()).verified()) std::abort();
        return 0;
    }
    crypto::CoseSign1 envelope{.protected_header = {},
                               .algorithm = crypto::CoseAlgorithm::ES384,
                               .payload = to_bytes(rest),
                               .signature = Bytes(96, 1)};
    const auto document = attestation::parse_payload(std::move(envelope));
    if (document && (document->pcrs.empty() || document->cabundle.empty())) std::abort();
    return 0;
}
