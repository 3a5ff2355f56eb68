// SPDX-License-Identifier: Apache-2.0
//
// What alcove-attestor is asked. The life of one connection is the life of one VM, and the socket passes
// through three hands, each of which may do less than the one before:
//
//     alcove-broker  Hello, Open -> Done              who the VM is: its name, its module id, PCR3 and PCR4
//     alcove-shim    Measured    -> Sealed            PCR0, 1, 2 and 8, before the guest's first instruction
//     alcove-vmm     DescribePcr -> PcrDescription    and from then on, for ever, only these
//                    ExtendPcr   -> PcrExtended
//                    LockPcr, LockPcrs -> Done
//                    Describe    -> Description
//                    Attest      -> Document
//
// The broker's Hello stands for all three. What the rules of the NSM forbid is answered with Rejected and the
// VM lives on. What this protocol forbids (a second Open or Measured, a message out of turn, of an unknown
// type or of a wrong size) is answered with Failed, and the connection is closed: no VM has attestation after
// it.
//
// A connection that just ends (the attestor was restarted, or the socket was lost on its way) leaves the VM's
// state behind for a while. The shim, which alone has the token, takes it up on a connection of its own, at
// the socket for shims, and gives that to the VMM:
//
//     alcove-shim    Hello, Resume -> Done            what follows is the VMM's, as above
//                    Hello, Forget -> Done            the VM has ended: nobody will come back
//
// alcoved asks on connections of its own, after Hello: GetRootCertificate -> RootCertificate, GetStatus ->
// Status. So does the broker, for a primary VM with SGX: GetSgxRoot -> SgxRoot.
//
// Requests are answered in order, each with the id it carried.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "api/protocol.hpp"
#include "api/sgx.hpp"
#include "api/vm_id.hpp"

namespace alcove::api::attestor {

inline constexpr VersionRange kVersions{.min = 4, .max = 4};

// The NSM's error names (nitro.md 4.3), numbered in that order.
enum class NsmStatus : uint32_t {
    Success = 0,
    InvalidArgument = 1,
    InvalidIndex = 2,
    InvalidResponse = 3,
    ReadOnlyIndex = 4,
    InvalidOperation = 5,
    BufferTooSmall = 6,
    InputTooLarge = 7,
    InternalError = 8,
};
constexpr std::string_view nsm_status_name(NsmStatus status) {
    constexpr std::string_view kNames[] = {"Success",         "InvalidArgument", "InvalidIndex",
                                           "InvalidResponse", "ReadOnlyIndex",   "InvalidOperation",
                                           "BufferTooSmall",  "InputTooLarge",   "InternalError"};
    const auto index = static_cast<size_t>(status);
    return index < std::size(kNames) ? kNames[index] : "InternalError";
}

inline constexpr uint32_t kPcrCount = 32;
inline constexpr size_t kMaxRequest = 4096;    // of the guest's own request, nitro.md 4.5
inline constexpr size_t kMaxDocument = 12288;  // the guest's buffer for a whole reply
inline constexpr size_t kMaxAttestField = 1024;
using PcrValue = std::array<uint8_t, 48>;  // SHA-384
using ResumeToken = std::array<uint8_t, 16>;

// From the broker, first on a connection.
struct Open {
    static constexpr uint16_t kType = 16;
    Le32 request;
    Le32 reserved;
    VmId::Field vm_id;         // of no VM that is open
    TextField<128> module_id;  // not empty, printable ASCII
    PcrValue pcr3;             // final values: H(zeros || role); zero where there is none
    PcrValue pcr4;
    Le64 host_time_ms;  // milliseconds since 1970; two clocks that disagree are reported
};
static_assert(sizeof(Open) == 304);

// From the launcher, once. Whether an enclave runs in debug mode is known when it is started, which for a
// carved one is later than Open.
struct Measured {
    static constexpr uint16_t kType = 17;
    static constexpr uint32_t kDebug = 1;  // PCR0 to 2 are zero, whatever stands here

    Le32 request;
    Le32 flags;
    PcrValue pcr0;
    PcrValue pcr1;
    PcrValue pcr2;
    PcrValue pcr8;  // zero when unsigned
};
static_assert(sizeof(Measured) == 200);

// The measurements are fixed. The token lets this VM's state be taken up again after a restart of the
// attestor; the launcher keeps it, and never gives it to the VMM.
struct Sealed {
    static constexpr uint16_t kType = 18;

    Le32 request;
    Le32 reserved;
    ResumeToken token;
};

// From a shim, first on a connection. Failed says why not: AlreadyExists while the VM has a connection (its
// end may not have been seen yet), NotFound when there is no such state, now or ever.
struct Resume {
    static constexpr uint16_t kType = 19;

    Le32 request;
    Le32 reserved;
    ResumeToken token;
};

// From a shim, first on a connection: no state of this VM is kept. AlreadyExists as above; a VM that is not
// known is Done, too.
struct Forget {
    static constexpr uint16_t kType = 20;

    Le32 request;
    Le32 reserved;
    ResumeToken token;
};

struct DescribePcr {
    static constexpr uint16_t kType = 24;

    Le32 request;
    Le32 index;
};

struct PcrDescription {
    static constexpr uint16_t kType = 25;

    Le32 request;
    Le32 locked;  // 0 or 1
    PcrValue value;
};

// The data to extend with follows as the tail.
struct ExtendPcr {
    static constexpr uint16_t kType = 26;
    static constexpr size_t kMaxTail = kMaxRequest;

    Le32 request;
    Le32 index;
};

struct PcrExtended {
    static constexpr uint16_t kType = 27;

    Le32 request;
    Le32 reserved;
    PcrValue value;  // the new one
};

struct LockPcr {
    static constexpr uint16_t kType = 28;

    Le32 request;
    Le32 index;
};

struct LockPcrs {
    static constexpr uint16_t kType = 29;

    Le32 request;
    Le32 range;  // PCR0 to PCR(range - 1)
};

struct Done {
    static constexpr uint16_t kType = 30;

    Le32 request;
    Le32 reserved;
};

struct Describe {
    static constexpr uint16_t kType = 31;

    Le32 request;
    Le32 reserved;
};

struct Description {
    static constexpr uint16_t kType = 32;

    Le32 request;
    Le32 max_pcrs;
    Le32 locked_pcrs;  // bit n: PCRn
    Le32 reserved;
    TextField<128> module_id;
};

// user_data, nonce and public_key follow as the tail, one behind the other, as far as they are there.
struct Attest {
    static constexpr uint16_t kType = 33;
    static constexpr size_t kMaxTail = 3 * kMaxAttestField;
    static constexpr uint32_t kAbsent = 0xffffffff;  // as a size: null in the document

    Le32 request;
    Le32 user_data_size;
    Le32 nonce_size;
    Le32 public_key_size;
};

// The signed document follows as the tail.
struct Document {
    static constexpr uint16_t kType = 34;
    static constexpr size_t kMaxTail = kMaxDocument;

    Le32 request;
    Le32 reserved;
};

// The request is understood and the rules of the NSM forbid it.
struct Rejected {
    static constexpr uint16_t kType = 35;

    Le32 request;
    Le32 status;  // NsmStatus, never Success
};

struct GetRootCertificate {
    static constexpr uint16_t kType = 40;

    Le32 request;
    Le32 reserved;
};

// PEM follows as the tail.
struct RootCertificate {
    static constexpr uint16_t kType = 41;
    static constexpr size_t kMaxTail = 8192;
    static constexpr uint32_t kDevelopment = 1;  // the root of an embedded host

    Le32 request;
    Le32 flags;
};

struct GetStatus {
    static constexpr uint16_t kType = 42;

    Le32 request;
    Le32 reserved;
};

struct Status {
    static constexpr uint16_t kType = 43;
    static constexpr uint32_t kDevelopment = 1;

    Le32 request;
    Le32 flags;
    std::array<uint8_t, 32> root_fingerprint;  // SHA-256 of the root certificate's DER
    Le64 issuer_not_after;                     // seconds since 1970: of the certificate that signs leaves
    Le32 vms;                                  // open now
    Le32 resumable;                            // stored, and not taken up again yet
    Le64 documents;                            // given since the start
    Le64 rejected;                             // requests against the rules of the NSM
    Le64 violations;                           // connections closed for breaking this protocol
    Le64 refused_peers;                        // connections from users who may not ask
};
static_assert(sizeof(Status) == 88);

// From the broker. The secret that all keys of a VM's enclaves come from (sgx/platform.hpp), derived from
// this host's for the owner that is named; the same name gives the same secret, always. Without a name it is
// nobody's: one that there is only once.
struct GetSgxRoot {
    static constexpr uint16_t kType = 44;

    Le32 request;
    Le32 reserved;
    TextField<80> owner;
};

struct SgxRoot {
    static constexpr uint16_t kType = 45;

    Le32 request;
    Le32 reserved;
    SgxRootSecret root;
};

// The fields of Attest, pointing into the datagram or into the caller's bytes.
struct AttestFields {
    std::optional<ByteView> user_data;
    std::optional<ByteView> nonce;
    std::optional<ByteView> public_key;
};

// Each field has at most kMaxAttestField bytes.
inline Bytes encode_attest(uint32_t request, const AttestFields& fields) {
    const auto size_of = [](const std::optional<ByteView>& field) {
        ALCOVE_CHECK(!field || field->size() <= kMaxAttestField, "the field's size was checked");
        return field ? static_cast<uint32_t>(field->size()) : Attest::kAbsent;
    };
    const Attest attest{.request = request,
                        .user_data_size = size_of(fields.user_data),
                        .nonce_size = size_of(fields.nonce),
                        .public_key_size = size_of(fields.public_key)};
    Bytes tail;
    for (const auto& field : {fields.user_data, fields.nonce, fields.public_key})
        if (field) tail.insert(tail.end(), field->begin(), field->end());
    return encode(attest, tail);
}

// ErrorCode::InvalidMessage when a size is over the limit or the tail is not as long as the sizes say.
inline Result<AttestFields> attest_fields(const WithTail<Attest>& attest) {
    ByteView rest = attest.tail;
    bool fits = true;
    const auto take = [&](uint32_t size) -> std::optional<ByteView> {
        if (size == Attest::kAbsent) return std::nullopt;
        if (size > kMaxAttestField || size > rest.size()) {
            fits = false;
            return std::nullopt;
        }
        const auto field = rest.first(size);
        rest = rest.subspan(size);
        return field;
    };
    AttestFields fields;
    fields.user_data = take(attest.body.user_data_size);
    fields.nonce = take(attest.body.nonce_size);
    fields.public_key = take(attest.body.public_key_size);
    if (!fits || !rest.empty())
        return fail(ErrorCode::InvalidMessage, "the sizes of Attest do not fit its data");
    return fields;
}

}  // namespace alcove::api::attestor
