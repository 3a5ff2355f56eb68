// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EGETKEY": a key that depends on who asks.
#include "crypto/secret.hpp"
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

namespace {

using enum StatusCode;

struct Asker {
    SecsFields secs;
    std::array<uint8_t, 16> isvfamilyid;
    std::array<uint8_t, 16> isvextprodid;
};

bool asks(const KEYREQUEST& request, uint16_t policy) {
    return (request.KEYPOLICY & policy) != 0;
}

// What all keys but REPORT take from the request and the asker alike. INIT and DEBUG always count.
KeyDependencies masked(const KEYREQUEST& request, const SecsFields& secs) {
    KeyDependencies dependencies{};
    dependencies.KEYNAME = request.KEYNAME;
    dependencies.ATTRIBUTES.FLAGS =
        (request.ATTRIBUTEMASK.FLAGS | attributes::INIT | attributes::DEBUG) & secs.ATTRIBUTES.FLAGS;
    dependencies.ATTRIBUTES.XFRM = request.ATTRIBUTEMASK.XFRM & secs.ATTRIBUTES.XFRM;
    dependencies.MISCSELECT = secs.MISCSELECT & request.MISCMASK;
    dependencies.CPUSVN = request.CPUSVN;
    dependencies.ISVSVN = request.ISVSVN;
    dependencies.ISVPRODID = secs.ISVPRODID;
    return dependencies;
}

void add_masks(KeyDependencies& dependencies, const KEYREQUEST& request) {
    dependencies.ATTRIBUTESMASK = request.ATTRIBUTEMASK;
    dependencies.MISCMASK = ~request.MISCMASK;
}

void add_policy(KeyDependencies& dependencies, const KEYREQUEST& request, const Asker& asker) {
    dependencies.KEYPOLICY = request.KEYPOLICY;
    if (asks(request, keypolicy::NOISVPRODID)) dependencies.ISVPRODID = 0;
    if (asks(request, keypolicy::ISVEXTPRODID)) dependencies.ISVEXTPRODID = asker.isvextprodid;
    if (asks(request, keypolicy::ISVFAMILYID)) dependencies.ISVFAMILYID = asker.isvfamilyid;
    if (!asks(request, keypolicy::CONFIGID)) return;
    dependencies.CONFIGID = asker.secs.CONFIGID;
    dependencies.CONFIGSVN = request.CONFIGSVN;
}

Outcome<void> check_versions(Call& call, const KEYREQUEST& request, const SecsFields& secs) {
    if (call.platform().is_beyond(request.CPUSVN)) return Status{INVALID_CPUSVN};
    if (request.ISVSVN > secs.ISVSVN) return Status{INVALID_ISVSVN};
    return {};
}

Outcome<Key128> einittoken_key(Call& call, const KEYREQUEST& request, const Asker& asker) {
    if ((asker.secs.ATTRIBUTES.FLAGS & attributes::EINITTOKEN_KEY) == 0) return Status{INVALID_ATTRIBUTE};
    TRY_LEAF(check_versions(call, request, asker.secs));
    auto dependencies = masked(request, asker.secs);
    dependencies.MRSIGNER = asker.secs.MRSIGNER;
    dependencies.KEYID = request.KEYID;
    return call.platform().derive(dependencies);
}

Outcome<Key128> provision_key(Call& call, const KEYREQUEST& request, const Asker& asker, bool seal) {
    if ((asker.secs.ATTRIBUTES.FLAGS & attributes::PROVISIONKEY) == 0) return Status{INVALID_ATTRIBUTE};
    TRY_LEAF(check_versions(call, request, asker.secs));
    auto dependencies = masked(request, asker.secs);
    add_masks(dependencies, request);
    dependencies.MRSIGNER = asker.secs.MRSIGNER;
    if (seal) add_policy(dependencies, request, asker);
    return call.platform().derive(dependencies);
}

Outcome<Key128> seal_key(Call& call, const KEYREQUEST& request, const Asker& asker) {
    TRY_LEAF(check_versions(call, request, asker.secs));
    if (request.CONFIGSVN > asker.secs.CONFIGSVN) return Status{INVALID_ISVSVN};
    auto dependencies = masked(request, asker.secs);
    add_masks(dependencies, request);
    add_policy(dependencies, request, asker);
    if (asks(request, keypolicy::MRENCLAVE)) dependencies.MRENCLAVE = asker.secs.MRENCLAVE;
    if (asks(request, keypolicy::MRSIGNER)) dependencies.MRSIGNER = asker.secs.MRSIGNER;
    dependencies.KEYID = request.KEYID;
    return call.platform().derive(dependencies);
}

// The one that EREPORT uses when this enclave is the target.
Key128 own_report_key(Call& call, const KEYREQUEST& request, const SecsFields& secs) {
    TARGETINFO self{};
    self.MEASUREMENT = secs.MRENCLAVE;
    self.ATTRIBUTES = secs.ATTRIBUTES;
    self.MISCSELECT = secs.MISCSELECT;
    self.CONFIGID = secs.CONFIGID;
    self.CONFIGSVN = secs.CONFIGSVN;
    return report_key(call.platform(), self, request.KEYID);
}

Outcome<Key128> make_key(Call& call, const KEYREQUEST& request, const Asker& asker) {
    switch (static_cast<KeyName>(static_cast<uint16_t>(request.KEYNAME))) {
        case KeyName::EINITTOKEN_KEY:
            return einittoken_key(call, request, asker);
        case KeyName::PROVISION_KEY:
            return provision_key(call, request, asker, false);
        case KeyName::PROVISION_SEAL_KEY:
            return provision_key(call, request, asker, true);
        case KeyName::REPORT_KEY:
            return own_report_key(call, request, asker.secs);
        case KeyName::SEAL_KEY:
            return seal_key(call, request, asker);
    }
    return Status{INVALID_KEYNAME};
}

}  // namespace

Outcome<void> egetkey(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, KEYREQUEST::kAlignment)));
    const auto request = TRY_LEAF(call.read_enclave<KEYREQUEST>(regs.rbx));
    TRY_LEAF(require(is_aligned<uint64_t>(regs.rcx, sizeof(Key128))));
    TRY_LEAF(call.require_in_enclave(regs.rcx));
    const auto output = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    TRY_LEAF(call.check_direct(output, regs.rcx, Access::Write));

    TRY_LEAF(require(all_zero(request.RESERVED1, request.RESERVED2) &&
                     (request.KEYPOLICY & ~keypolicy::kKnown) == 0));
    const auto asker = call.epcm().with([&](EpcmState& state) {
        const Enclave& enclave = *state.enclave(call.inside().world.secs);
        return Asker{enclave.secs, enclave.isvfamilyid, enclave.isvextprodid};
    });
    const bool kss = (asker.secs.ATTRIBUTES.FLAGS & attributes::KSS) != 0;
    TRY_LEAF(require(kss || (!asks(request, keypolicy::kOfKss) && request.CONFIGSVN == 0)));

    Key128 key = TRY_LEAF(make_key(call, request, asker));
    auto written = call.write_enclave(output, regs.rcx, key);
    crypto::cleanse(key);
    return written;
}

}  // namespace alcove::sgx
