// SPDX-License-Identifier: Apache-2.0
//
// Images, keys and certificates as files.
#pragma once

#include <string>

#include "crypto/certificate.hpp"
#include "crypto/key.hpp"
#include "eif/measure.hpp"
#include "support/mapping.hpp"
#include "support/result.hpp"

namespace alcove::cli {

Result<Mapping> map_file(const std::string& path);
// Keys and certificates: at most 1 MiB.
Result<std::string> read_text(const std::string& path);

struct Signer {
    crypto::Certificate certificate;
    crypto::PrivateKey key;
};
Result<Signer> read_signer(const std::string& key_path, const std::string& certificate_path);

// Writes the image, signed, to `target`, which may be the image itself.
Result<eif::Measurements> sign_file(const std::string& image, const Signer& signer,
                                    const std::string& target);

}  // namespace alcove::cli
