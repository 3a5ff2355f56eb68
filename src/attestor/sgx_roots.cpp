// SPDX-License-Identifier: Apache-2.0
#include "attestor/sgx_roots.hpp"

#include <algorithm>

#include "attestor/key_files.hpp"
#include "crypto/random.hpp"
#include "support/system.hpp"

namespace alcove::attestor {

namespace {

constexpr const char* kFile = "/sgx-root.key";
constexpr std::string_view kUse = "alcove sgx root 1\n";  // what this key is used for, and how

Result<void> make_key_file(const std::string& path) {
    auto secret = TRY(crypto::random_array<sizeof(crypto::AesKey)>());
    auto written = sys::replace_file(path, secret, 0600);
    crypto::cleanse(secret);
    return written;
}

}  // namespace

Result<SgxRoots> SgxRoots::open(const std::string& state_folder) {
    TRY(prepare_private_folder(state_folder));
    const std::string path = state_folder + kFile;
    auto content = read_key_file(path, Sharing::OwnerOnly);
    if (!content && content.error().code() == ErrorCode::NotFound) {
        TRY(make_key_file(path));
        content = read_key_file(path, Sharing::OwnerOnly);
    }
    if (!content) return Failure{std::move(content).error()};
    crypto::AesKey secret;
    if (content->view().size() != secret.size())
        return fail(ErrorCode::KeyInvalid, path + " is not a key of 16 bytes");
    std::ranges::copy(content->view(), secret.begin());
    SgxRoots roots(secret);
    crypto::cleanse(secret);
    return roots;
}

SgxRoots::~SgxRoots() {
    crypto::cleanse(secret_);
}

Result<api::SgxRootSecret> SgxRoots::root_of(std::string_view owner) const {
    if (owner.empty()) return crypto::random_array<sizeof(api::SgxRootSecret)>();
    return crypto::aes_cmac(secret_, {as_byte_view(kUse), as_byte_view(owner)});
}

}  // namespace alcove::attestor
