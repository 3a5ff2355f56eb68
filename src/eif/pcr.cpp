// SPDX-License-Identifier: Apache-2.0
//
// One extension of a zero register.
#include "eif/pcr.hpp"

#include "support/check.hpp"

namespace alcove::eif {

namespace {

crypto::Digest new_digest() {
    auto digest = crypto::Digest::create(crypto::Digest::Algorithm::SHA384);
    ALCOVE_CHECK(digest, "the crypto library has SHA-384");
    return std::move(digest).value();
}

}  // namespace

Pcr pcr_extended_with(ByteView data) {
    return crypto::sha384({ByteView(kZeroPcr), data});
}

Pcr pcr_of_text(std::string_view text) {
    return pcr_extended_with(as_byte_view(text));
}

Pcr pcr_of_content(ByteView content) {
    return pcr_extended_with(crypto::sha384(content));
}

Pcr pcr_of_certificate(const crypto::Certificate& certificate) {
    return pcr_of_content(certificate.der());
}

PcrHash::PcrHash() : digest_(new_digest()) {}

Pcr PcrHash::finish() && {
    const auto value = digest_.finish_sha384();
    ALCOVE_CHECK(value, "a digest is finished once");
    return pcr_extended_with(*value);
}

}  // namespace alcove::eif
