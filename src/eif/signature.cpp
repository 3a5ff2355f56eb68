// SPDX-License-Identifier: Apache-2.0
//
// CBOR in both directions. What is verified are the envelope's bytes as received.
#include "eif/signature.hpp"

#include <algorithm>

#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"
#include "eif/spec.hpp"

namespace alcove::eif {

namespace {

namespace cbor = codec::cbor;

constexpr std::string_view kCertificate = "signing_certificate";
constexpr std::string_view kSignature = "signature";
constexpr std::string_view kRegisterIndex = "register_index";
constexpr std::string_view kRegisterValue = "register_value";

// Every byte of the two strings may be an item of its own.
constexpr cbor::Limits kSectionLimits{
    .bytes = spec::kMaxSignatureSize, .items = spec::kMaxSignatureSize, .depth = 4};
constexpr cbor::Limits kPayloadLimits{.bytes = 1024, .items = 128, .depth = 4};

Failure invalid(std::string message) {
    return fail(ErrorCode::ImageSignature, std::move(message));
}

struct Entry {
    Bytes certificate;
    Bytes signature;
};

Result<Entry> parse_entry(ByteView section) {
    const cbor::Value value = TRY(cbor::decode(section, kSectionLimits));
    const auto entries = TRY(value.as_array());
    if (entries.empty()) return invalid("the signature section is empty");
    const cbor::Map* map = TRY(entries.front().as_map());
    const cbor::Value* certificate = TRY(map->at(kCertificate));
    const cbor::Value* signature = TRY(map->at(kSignature));
    Entry entry;
    entry.certificate = TRY(certificate->as_bytes_or_integers().context(std::string(kCertificate)));
    entry.signature = TRY(signature->as_bytes_or_integers().context(std::string(kSignature)));
    return entry;
}

Result<Pcr> parse_payload(ByteView payload) {
    const cbor::Value value = TRY(cbor::decode(payload, kPayloadLimits));
    const cbor::Map* map = TRY(value.as_map());
    const cbor::Value* index_value = TRY(map->at(kRegisterIndex));
    const uint64_t index = TRY(index_value->as_unsigned());
    if (index != 0) return invalid("PCR" + std::to_string(index) + " is signed, not PCR0");
    const cbor::Value* register_value = TRY(map->at(kRegisterValue));
    const Bytes bytes = TRY(register_value->as_bytes_or_integers());
    Pcr pcr0;
    if (bytes.size() != pcr0.size()) return invalid("the signed PCR0 has not 48 bytes");
    std::ranges::copy(bytes, pcr0.begin());
    return pcr0;
}

Result<ImageSignature> parse_section(ByteView section) {
    const Entry entry = TRY(parse_entry(section));
    auto certificate = TRY(crypto::Certificate::from_pem(as_text(entry.certificate)));
    auto envelope = TRY(crypto::CoseSign1::parse(entry.signature));
    const Pcr pcr0 = TRY(parse_payload(envelope.payload).context("the signed payload"));
    return ImageSignature{std::move(certificate), std::move(envelope), pcr0};
}

}  // namespace

Result<ImageSignature> ImageSignature::parse(ByteView section) {
    if (section.size() > spec::kMaxSignatureSize) return invalid("the signature section is too large");
    auto parsed = parse_section(section);
    if (!parsed) return invalid(parsed.error().to_string());
    return parsed;
}

Result<void> ImageSignature::verify(const Pcr& measured_pcr0, crypto::TimePoint time) const {
    const auto key = certificate.public_key();
    if (!key) return invalid("the signing certificate's key: " + key.error().to_string());
    if (!envelope.verify(*key)) return invalid("the signature is not by the certificate's key");
    if (pcr0 != measured_pcr0) return invalid("the signature is over another PCR0 than the image has");
    if (time < certificate.not_before())
        return fail(ErrorCode::ImageCertificateExpired, "the signing certificate is not valid yet");
    if (time > certificate.not_after())
        return fail(ErrorCode::ImageCertificateExpired, "the signing certificate has expired");
    return {};
}

Result<Bytes> make_signature_section(const Pcr& pcr0, const ImageSigner& signer) {
    const crypto::PublicKey certified = TRY(signer.certificate.public_key());
    if (!(certified == signer.key.public_key()))
        return fail(ErrorCode::KeyInvalid, "the private key does not belong to the signing certificate");

    cbor::Writer payload;
    payload.map(2)
        .text(kRegisterIndex)
        .unsigned_integer(0)
        .text(kRegisterValue)
        .value(cbor::integers_of_bytes(pcr0));
    const Bytes envelope = TRY(crypto::cose_sign1(payload.view(), signer.key));
    const std::string pem = TRY(signer.certificate.to_pem());

    cbor::Writer section;
    section.array(1).map(2);
    section.text(kCertificate).value(cbor::integers_of_bytes(as_byte_view(pem)));
    section.text(kSignature).value(cbor::integers_of_bytes(envelope));
    if (section.view().size() > spec::kMaxSignatureSize)
        return invalid("the signing certificate is too large for an image");
    return std::move(section).take();
}

}  // namespace alcove::eif
