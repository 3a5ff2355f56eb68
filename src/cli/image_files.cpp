// SPDX-License-Identifier: Apache-2.0
#include "cli/image_files.hpp"

#include <fcntl.h>

#include "cli/replacement.hpp"
#include "eif/image.hpp"
#include "eif/image_writer.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr uint64_t kMaxSmallFile = 1_MiB;

}  // namespace

Result<Mapping> map_file(const std::string& path) {
    const auto file = TRY(sys::open(path, O_RDONLY));
    const uint64_t size = TRY(sys::file_size(file).context(path));
    return Mapping::read_only(file, size).context(path);
}

Result<std::string> read_text(const std::string& path) {
    const auto content = TRY(sys::read_file(path, kMaxSmallFile));
    return std::string(as_text(content));
}

Result<Signer> read_signer(const std::string& key_path, const std::string& certificate_path) {
    const auto certificate_pem = TRY(read_text(certificate_path));
    auto certificate = TRY(crypto::Certificate::from_pem(certificate_pem).context(certificate_path));
    const auto key_pem = TRY(read_text(key_path));
    auto key = TRY(crypto::PrivateKey::from_pem(key_pem).context(key_path));
    return Signer{.certificate = std::move(certificate), .key = std::move(key)};
}

Result<eif::Measurements> sign_file(const std::string& image, const Signer& signer,
                                    const std::string& target) {
    const auto file = TRY(map_file(image));
    const auto parsed = TRY(eif::Image::parse(file.bytes()).context(image));
    auto output = TRY(Replacement::create(target, 0644));
    const eif::ImageSigner image_signer{.certificate = signer.certificate, .key = signer.key};
    const auto measurements = TRY(eif::sign_image(parsed, image_signer, output.file()));
    TRY(output.commit());
    return measurements;
}

}  // namespace alcove::cli
