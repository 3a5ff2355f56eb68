// SPDX-License-Identifier: Apache-2.0
#include "sgx/platform.hpp"

#include "crypto/aes.hpp"
#include "crypto/random.hpp"

namespace alcove::sgx {

namespace {

Key128 labelled(const Key128& root, std::string_view label) {
    return crypto::aes_cmac(root, {as_byte_view(label)});
}

}  // namespace

Result<Platform> Platform::create(const Key128& root) {
    Platform platform;
    platform.root_ = labelled(root, "alcove sgx: derivation");
    platform.seal_fuses_ = labelled(root, "alcove sgx: seal fuses");
    platform.owner_epoch_ = labelled(root, "alcove sgx: owner epoch");
    platform.report_keyid_ = TRY(crypto::random_array<sizeof(KeyId)>());
    platform.paging_key_ = TRY(crypto::random_array<sizeof(Key128)>());
    return platform;
}

Platform::~Platform() {
    for (Key128* key : {&root_, &seal_fuses_, &owner_epoch_, &paging_key_})
        crypto::cleanse(*key);
}

bool Platform::is_beyond(const Svn& requested) const {
    for (size_t i = 0; i < requested.size(); ++i)
        if (requested[i] > cpusvn_[i]) return true;
    return false;
}

Key128 Platform::derive(KeyDependencies dependencies) const {
    const auto name = static_cast<KeyName>(static_cast<uint16_t>(dependencies.KEYNAME));
    const bool provision = name == KeyName::PROVISION_KEY;
    const bool provision_seal = name == KeyName::PROVISION_SEAL_KEY;
    if (!provision && !provision_seal) dependencies.OWNEREPOCH = owner_epoch_;
    if (!provision) dependencies.SEAL_FUSES = seal_fuses_;
    const Key128 key = crypto::aes_cmac(root_, {object_bytes(dependencies)});
    crypto::cleanse(dependencies.SEAL_FUSES);
    crypto::cleanse(dependencies.OWNEREPOCH);
    return key;
}

Key128 report_key(const Platform& platform, const TARGETINFO& target, const KeyId& keyid) {
    KeyDependencies dependencies{};
    dependencies.KEYNAME = static_cast<uint16_t>(KeyName::REPORT_KEY);
    dependencies.ATTRIBUTES = target.ATTRIBUTES;
    dependencies.MISCSELECT = target.MISCSELECT;
    dependencies.CPUSVN = platform.cpusvn();
    dependencies.MRENCLAVE = target.MEASUREMENT;
    dependencies.CONFIGID = target.CONFIGID;
    dependencies.CONFIGSVN = target.CONFIGSVN;
    dependencies.KEYID = keyid;
    return platform.derive(dependencies);
}

}  // namespace alcove::sgx
