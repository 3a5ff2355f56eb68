// SPDX-License-Identifier: Apache-2.0
//
// The signature section: a certificate, and a COSE_Sign1 by its key over PCR0. Only PCR0 is signed, and
// with it everything that is measured.
//
// The section is a CBOR array of maps {"signing_certificate": PEM, "signature": COSE_Sign1}, both values
// arrays of small integers (byte strings are read as well); only its first entry counts. The signed payload
// is {"register_index": 0, "register_value": PCR0 as an array of integers}.
#pragma once

#include <chrono>

#include "crypto/certificate.hpp"
#include "crypto/cose.hpp"
#include "crypto/key.hpp"
#include "eif/pcr.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

// What a signature section holds, well-formed, not verified.
struct ImageSignature {
    crypto::Certificate certificate;
    crypto::CoseSign1 envelope;
    Pcr pcr0;  // that was signed

    static Result<ImageSignature> parse(ByteView section);  // ImageSignature

    // ImageSignature when the certificate's key did not sign it, or it signs another PCR0;
    // ImageCertificateExpired when the certificate is not valid at `time`. Certificates of images are pinned
    // by PCR8, so no chain above this one is looked at.
    Result<void> verify(const Pcr& measured_pcr0, crypto::TimePoint time) const;

    Pcr pcr8() const { return pcr_of_certificate(certificate); }
};

// Who signs: P-256, P-384 or P-521. The two are borrowed.
struct ImageSigner {
    const crypto::Certificate& certificate;
    const crypto::PrivateKey& key;
};

// KeyInvalid when the key is not the certificate's; ImageSignature when the result would be too large.
Result<Bytes> make_signature_section(const Pcr& pcr0, const ImageSigner& signer);

}  // namespace alcove::eif
