// SPDX-License-Identifier: Apache-2.0
//
// The secrets that a real processor has in its fuses, and the keys derived from them. One root secret stands
// for all fuses: where it comes from (this VM, this host, nowhere) decides who can unseal what. Nothing
// outside can check a key's value, so the derivation is ours: AES-CMAC under a key that comes from the root,
// over all the fields that the architecture lets a key depend on, each in its place.
//
// Source: SDM vol. 3D, "EGETKEY", table "Key Derivation".
#pragma once

#include "crypto/secret.hpp"
#include "sgx/spec_report.hpp"
#include "support/result.hpp"

namespace alcove::sgx {

using Svn = std::array<uint8_t, 16>;

// A field that a key does not depend on is zero.
struct KeyDependencies {
    Le16 KEYNAME;
    Le16 KEYPOLICY;
    Le16 ISVPRODID;
    Le16 ISVSVN;
    Le16 CONFIGSVN;
    Le32 MISCSELECT;
    Le32 MISCMASK;
    sgx::ATTRIBUTES ATTRIBUTES;
    sgx::ATTRIBUTES ATTRIBUTESMASK;
    Svn OWNEREPOCH;  // filled in by derive(), as are the fuses
    Svn CPUSVN;
    std::array<uint8_t, 16> ISVEXTPRODID;
    std::array<uint8_t, 16> ISVFAMILYID;
    Measurement MRENCLAVE;
    Measurement MRSIGNER;
    std::array<uint8_t, 64> CONFIGID;
    sgx::KeyId KEYID;
    Key128 SEAL_FUSES;
    // PADDING of the signature would be here: EINIT accepts but one, so it says nothing.
};

class Platform {
  public:
    // `root` stays the same for as long as sealed data is to be opened. What a processor makes afresh at each
    // start is made here.
    static Result<Platform> create(const Key128& root);

    Platform(Platform&&) = default;
    Platform& operator=(Platform&&) = delete;
    Platform(const Platform&) = delete;
    Platform& operator=(const Platform&) = delete;
    ~Platform();

    const Svn& cpusvn() const { return cpusvn_; }
    const KeyId& report_keyid() const { return report_keyid_; }  // CR_REPORT_KEYID
    const Key128& paging_key() const { return paging_key_; }     // CR_BASE_PK
    // A request may name this security version or an earlier one.
    bool is_beyond(const Svn& requested) const;

    // PROVISION keys do not depend on owner and seal fuses, all others do.
    Key128 derive(KeyDependencies dependencies) const;

  private:
    Platform() = default;

    Key128 root_{};
    Key128 seal_fuses_{};
    Svn owner_epoch_{};
    Svn cpusvn_{1};
    KeyId report_keyid_{};
    Key128 paging_key_{};
};

// The key under which a REPORT for this target is signed; the target gets the same by EGETKEY.
Key128 report_key(const Platform& platform, const TARGETINFO& target, const KeyId& keyid);

}  // namespace alcove::sgx
