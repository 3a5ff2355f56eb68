// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EINIT": ends the building of an enclave if its measurement is the one its author signed and
// its launch is permitted. Nothing changes when it fails, so it can be tried again.
#include "crypto/aes.hpp"
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"
#include "sgx/sigstruct.hpp"

namespace alcove::sgx {

namespace {

using enum StatusCode;

bool matches_launch_hash(const Measurement& mrsigner, const LaunchHash& hash) {
    std::array<Le64, 4> words;
    static_assert(sizeof words == sizeof mrsigner);
    std::memcpy(words.data(), mrsigner.data(), sizeof words);
    return std::equal(words.begin(), words.end(), hash.begin());
}

bool agree(const ATTRIBUTES& a, const ATTRIBUTES& b, const ATTRIBUTES& mask) {
    return (a.FLAGS & mask.FLAGS) == (b.FLAGS & mask.FLAGS) && (a.XFRM & mask.XFRM) == (b.XFRM & mask.XFRM);
}

Measurement measurement_of(const LaunchHash& hash) {
    std::array<Le64, 4> words;
    std::copy(hash.begin(), hash.end(), words.begin());
    Measurement value;
    std::memcpy(value.data(), words.data(), sizeof value);
    return value;
}

// Of the launch enclave that made the token.
Key128 token_key(Call& call, const EINITTOKEN& token) {
    KeyDependencies dependencies{};
    dependencies.KEYNAME = static_cast<uint16_t>(KeyName::EINITTOKEN_KEY);
    dependencies.ISVPRODID = token.ISVPRODIDLE;
    dependencies.ISVSVN = token.ISVSVNLE;
    dependencies.MISCSELECT = token.MASKEDMISCSELECTLE;
    dependencies.ATTRIBUTES = token.MASKEDATTRIBUTESLE;
    dependencies.CPUSVN = token.CPUSVNLE;
    dependencies.MRSIGNER = measurement_of(call.processor().launch_hash());
    dependencies.KEYID = token.KEYID;
    return call.platform().derive(dependencies);
}

Outcome<void> check_token(Call& call, const EINITTOKEN& token, const SecsFields& secs,
                          const Measurement& mrenclave, const Measurement& mrsigner) {
    const bool debug_launcher = (token.MASKEDATTRIBUTESLE.FLAGS & attributes::DEBUG) != 0;
    if (debug_launcher && (secs.ATTRIBUTES.FLAGS & attributes::DEBUG) == 0) return Status{INVALID_EINITTOKEN};
    if ((token.VALID & ~EINITTOKEN::kValid) != 0 ||
        !all_zero(token.RESERVED1, token.RESERVED2, token.RESERVED3, token.RESERVED4))
        return Status{INVALID_EINITTOKEN};
    if (call.platform().is_beyond(token.CPUSVNLE)) return Status{INVALID_CPUSVN};
    const auto mac =
        crypto::aes_cmac(token_key(call, token), {object_bytes(token).first(EINITTOKEN::kMaced)});
    if (!crypto::equal_in_constant_time(mac, token.MAC)) return Status{INVALID_EINITTOKEN};
    if (token.MRENCLAVE != mrenclave || token.MRSIGNER != mrsigner) return Status{INVALID_MEASUREMENT};
    if (token.ATTRIBUTES != secs.ATTRIBUTES) return Status{INVALID_ATTRIBUTE};
    return {};
}

}  // namespace

Outcome<void> einit(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, kPageSize) && is_aligned(regs.rcx, kPageSize) &&
                     is_aligned(regs.rdx, EINITTOKEN::kAlignment)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));
    const auto sigstruct = TRY_LEAF(call.read<SIGSTRUCT>(regs.rbx));
    const auto token = TRY_LEAF(call.read<EINITTOKEN>(regs.rdx));

    if (!is_well_formed(sigstruct)) return Status{INVALID_SIG_STRUCT};
    if (!is_signed(sigstruct)) return Status{INVALID_SIGNATURE};

    const auto hold = TRY_LEAF(call.hold(page, Latch::Shared | Latch::Build));
    Enclave* enclave = TRY_LEAF(call.enclave(page, regs.rcx, Access::Write));
    TRY_LEAF(require(!enclave->is_initialized()));
    call.works_for(page);
    const SecsFields& secs = enclave->secs;  // does not change while we hold Latch::Build
    const bool kss = (secs.ATTRIBUTES.FLAGS & attributes::KSS) != 0;
    if (!kss && !all_zero(sigstruct.ISVFAMILYID)) return Status{INVALID_SIG_STRUCT};

    const Measurement mrenclave = enclave->measurement.finish();
    if (mrenclave != sigstruct.ENCLAVEHASH) return Status{INVALID_MEASUREMENT};
    const Measurement mrsigner = mrsigner_of(sigstruct);
    const bool is_launcher = matches_launch_hash(mrsigner, call.processor().launch_hash());
    if ((secs.ATTRIBUTES.FLAGS & attributes::EINITTOKEN_KEY) != 0 && !is_launcher)
        return Status{INVALID_ATTRIBUTE};
    if (!agree(secs.ATTRIBUTES, sigstruct.ATTRIBUTES, sigstruct.ATTRIBUTEMASK))
        return Status{INVALID_ATTRIBUTE};
    if ((secs.MISCSELECT & sigstruct.MISCMASK) != (sigstruct.MISCSELECT & sigstruct.MISCMASK))
        return Status{INVALID_ATTRIBUTE};

    if ((token.VALID & EINITTOKEN::kValid) == 0) {
        if (!is_launcher) return Status{INVALID_EINITTOKEN};
    } else {
        TRY_LEAF(check_token(call, token, secs, mrenclave, mrsigner));
    }

    call.epcm().with([&](EpcmState&) {
        enclave->secs.MRENCLAVE = mrenclave;
        enclave->secs.MRSIGNER = mrsigner;
        enclave->secs.ISVPRODID = sigstruct.ISVPRODID;
        enclave->secs.ISVSVN = sigstruct.ISVSVN;
        enclave->isvfamilyid = sigstruct.ISVFAMILYID;
        enclave->isvextprodid = sigstruct.ISVEXTPRODID;
        enclave->secs.ATTRIBUTES.FLAGS = enclave->secs.ATTRIBUTES.FLAGS | attributes::INIT;
    });
    return {};
}

}  // namespace alcove::sgx
