// SPDX-License-Identifier: Apache-2.0
//
// Small enclave images for this folder's tests, made by the real writer.
#pragma once

#include <chrono>
#include <optional>

#include "eif/image_writer.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

struct TestImage {
    Fd file;
    uint64_t size;
    eif::Measurements measurements;
    std::optional<crypto::Certificate> certificate;
};

enum class TestSignature { None, Valid, Expired };

inline TestImage make_test_image(size_t ramdisk_bytes = 100'000,
                                 TestSignature signature = TestSignature::None,
                                 eif::Architecture architecture = eif::Architecture::X86_64) {
    using eif::SectionType;
    TestImage image{
        .file = sys::memfd("test-image").value(), .size = 0, .measurements = {}, .certificate = {}};
    eif::ImageWriter writer(image.file, {.architecture = architecture});
    writer.add(SectionType::Kernel, as_byte_view("a kernel")).value();
    writer.add(SectionType::CommandLine, as_byte_view("console=ttyS0")).value();
    writer.add(SectionType::Metadata, as_byte_view("{}")).value();
    Bytes ramdisk(ramdisk_bytes);
    for (size_t i = 0; i < ramdisk.size(); ++i)
        ramdisk[i] = static_cast<uint8_t>(i * 2654435761U >> 11);
    writer.add(SectionType::Ramdisk, ramdisk).value();
    writer.add(SectionType::Ramdisk, as_byte_view("an application")).value();
    if (signature != TestSignature::None) {
        const auto now = std::chrono::system_clock::now();
        const auto key = crypto::PrivateKey::generate(crypto::Curve::P384).value();
        crypto::CertificatePlan plan;
        plan.subject.common_name = "image signer";
        plan.not_before = now - std::chrono::hours(48);
        plan.not_after = now + std::chrono::hours(signature == TestSignature::Valid ? 24 : -24);
        image.certificate = crypto::issue_certificate(plan, key.public_key(), key, nullptr).value();
        writer.sign({.certificate = *image.certificate, .key = key}).value();
    }
    image.measurements = writer.finish().value();
    image.size = writer.size();
    return image;
}

}  // namespace alcove::enclave
