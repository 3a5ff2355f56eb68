// SPDX-License-Identifier: Apache-2.0
#include "crypto/cose.hpp"

#include <optional>

#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"

namespace alcove::crypto {

namespace {

namespace cbor = codec::cbor;

// RFC 9052, 3.1: the labels of the common header parameters.
constexpr int64_t kLabelAlgorithm = 1;
constexpr int64_t kLabelCritical = 2;

constexpr uint8_t kTagHead = 0xc0 | CoseSign1::kTag;

constexpr cbor::Limits kHeaderLimits{.bytes = 1024, .items = 64, .depth = 4};
constexpr cbor::Limits kEnvelopeLimits{.bytes = CoseSign1::kMaxSize, .items = 1024, .depth = 8};

// RFC 9052, 4.4: Sig_structure for COSE_Sign1 without external data.
Bytes signed_bytes(ByteView protected_header, ByteView payload) {
    cbor::Writer writer;
    writer.array(4).text("Signature1").bytes(protected_header).bytes({}).bytes(payload);
    return std::move(writer).take();
}

Result<CoseAlgorithm> algorithm_of(ByteView protected_header) {
    const auto header = TRY(cbor::decode(protected_header, kHeaderLimits));
    const auto* parameters = TRY(header.as_map());
    if (parameters->find(kLabelCritical) != nullptr)
        return fail(ErrorCode::CborMalformed,
                    "the COSE header has critical parameters, which nobody here knows");
    const auto* label = TRY(parameters->at(kLabelAlgorithm));
    const auto number = TRY(label->as_integer());
    const auto algorithm = static_cast<CoseAlgorithm>(number);
    if (algorithm == CoseAlgorithm::ES256 || algorithm == CoseAlgorithm::ES384 ||
        algorithm == CoseAlgorithm::ES512)
        return algorithm;
    return fail(ErrorCode::CborMalformed,
                "COSE algorithm " + std::to_string(number) + " is none of ES256, ES384, ES512");
}

}  // namespace

CoseAlgorithm cose_algorithm_of(Curve curve) {
    switch (curve) {
        case Curve::P256:
            return CoseAlgorithm::ES256;
        case Curve::P384:
            return CoseAlgorithm::ES384;
        case Curve::P521:
            return CoseAlgorithm::ES512;
    }
    ALCOVE_CHECK(false, "one of the three curves");
}

Result<CoseSign1> CoseSign1::parse(ByteView encoded) {
    // The one-byte head of tag 18 is taken here: libcbor 0.8 knows only some of the one-byte tags.
    const bool short_tag = !encoded.empty() && encoded.front() == kTagHead;
    const auto decoded = TRY(cbor::decode(encoded.subspan(short_tag ? 1 : 0), kEnvelopeLimits));
    const cbor::Value* envelope = &decoded;
    if (const auto tagged = decoded.as_tagged()) {
        if (short_tag || (*tagged)->tag != kTag)
            return fail(ErrorCode::CborMalformed, "the CBOR tag is not COSE_Sign1's");
        envelope = &(*tagged)->content.front();
    }
    const auto parts = TRY(envelope->as_array());
    if (parts.size() != 4) return fail(ErrorCode::CborMalformed, "COSE_Sign1 has four parts");
    const auto protected_header = TRY(parts[0].as_bytes().context("COSE protected header"));
    TRY(parts[1].as_map().context("COSE unprotected header"));
    const auto payload = TRY(parts[2].as_bytes().context("COSE payload"));
    const auto signature = TRY(parts[3].as_bytes().context("COSE signature"));
    const auto algorithm = TRY(algorithm_of(protected_header).context("COSE protected header"));
    return CoseSign1{.protected_header = to_bytes(protected_header),
                     .algorithm = algorithm,
                     .payload = to_bytes(payload),
                     .signature = to_bytes(signature)};
}

bool CoseSign1::verify(const PublicKey& key) const {
    return cose_algorithm_of(key.curve()) == algorithm &&
           key.verify(signed_bytes(protected_header, payload), signature);
}

Result<Bytes> cose_sign1(ByteView payload, const PrivateKey& key, CoseTag tag) {
    cbor::Writer header;
    header.map(1).integer(kLabelAlgorithm).integer(static_cast<int64_t>(cose_algorithm_of(key.curve())));
    const auto signature = TRY(key.sign(signed_bytes(header.view(), payload)));
    cbor::Writer writer;
    if (tag == CoseTag::Tagged) writer.tag(CoseSign1::kTag);
    writer.array(4).bytes(header.view()).map(0).bytes(payload).bytes(signature);
    return std::move(writer).take();
}

}  // namespace alcove::crypto
