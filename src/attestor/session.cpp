// SPDX-License-Identifier: Apache-2.0
#include "attestor/session.hpp"

#include "attestation/document.hpp"
#include "crypto/random.hpp"
#include "support/log.hpp"

namespace alcove::attestor {

namespace {

namespace wire = api::attestor;
using api::decode;
using api::decode_with_tail;
using api::encode;
using api::Envelope;
using wire::NsmStatus;

constexpr auto kClockTolerance = std::chrono::minutes(1);

bool is_module_id(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

uint64_t milliseconds_of(TimePoint time) {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

uint64_t seconds_of(TimePoint time) {
    return milliseconds_of(time) / 1000;
}

bool may_begin_with(PeerRole role, uint16_t type) {
    switch (type) {
        case wire::Open::kType:
        case wire::GetSgxRoot::kType:
            return role == PeerRole::Broker;
        case wire::Resume::kType:
        case wire::Forget::kType:
            return role == PeerRole::Keeper;
        default:
            return role != PeerRole::Keeper;
    }
}

// There is one clock on a host; if the broker sees another, documents would be refused elsewhere.
void compare_clocks(uint64_t theirs_ms, TimePoint now) {
    const TimePoint theirs{std::chrono::milliseconds(std::min(theirs_ms, milliseconds_of(TimePoint::max())))};
    if (theirs > now + kClockTolerance || theirs < now - kClockTolerance)
        log::warn("the broker's clock and the attestor's differ by more than a minute");
}

}  // namespace

Session::~Session() {
    shared_.open_vms.erase(record_.vm_id);
    if (state_ == State::Serving) shared_.open_files.erase(SessionStore::name_of(token_));
}

std::optional<std::string> Session::stored_name() const {
    if (state_ != State::Serving) return std::nullopt;
    return SessionStore::name_of(token_);
}

Session::Reply Session::handle(ByteView message) {
    const auto envelope = api::open_envelope(message);
    auto answer = envelope ? dispatch(*envelope) : Result<std::optional<Bytes>>(Failure{envelope.error()});
    if (answer) return {.message = std::move(*answer), .violation = std::nullopt};
    ++shared_.counters.violations;
    // A conversation that is broken off takes the VM's identity with it: nobody can go on under its name.
    if (state_ == State::Serving) {
        shared_.store.remove(token_);
        shared_.open_files.erase(SessionStore::name_of(token_));
    }
    state_ = State::Closed;
    return {.message = api::encode_failed(0, answer.error()), .violation = std::move(answer).error()};
}

Result<std::optional<Bytes>> Session::dispatch(const Envelope& envelope) {
    switch (state_) {
        case State::Greeting:
            return greet(envelope);
        case State::Idle:
            return idle(envelope);
        case State::Opened: {
            auto answer = TRY(measured(envelope));
            return std::optional<Bytes>(std::move(answer));
        }
        case State::Serving:
            return serve(envelope);
        case State::Closed:
            break;
    }
    return fail(ErrorCode::InvalidMessage, "the conversation is over");
}

Result<std::optional<Bytes>> Session::greet(const Envelope& envelope) {
    TRY(api::accept_hello(envelope, api::Protocol::Attestor, wire::kVersions));
    state_ = State::Idle;
    return std::optional<Bytes>();  // our own Hello is sent without waiting for theirs
}

Result<std::optional<Bytes>> Session::idle(const Envelope& envelope) {
    if (!may_begin_with(role_, envelope.type))
        return fail(ErrorCode::PermissionDenied,
                    "this peer may not begin with a message of type " + std::to_string(envelope.type));
    const auto answer_of = [&]() -> Result<Bytes> {
        switch (envelope.type) {
            case wire::Open::kType:
                return open(envelope);
            case wire::Resume::kType:
                return resume(envelope);
            case wire::Forget::kType:
                return forget(envelope);
            case wire::GetRootCertificate::kType:
                return root_certificate(envelope);
            case wire::GetStatus::kType:
                return status(envelope);
            case wire::GetSgxRoot::kType:
                return sgx_root(envelope);
            default:
                return api::wrong_body(envelope.type, envelope.body.size());
        }
    };
    auto answer = TRY(answer_of());
    return std::optional<Bytes>(std::move(answer));
}

Result<std::optional<Bytes>> Session::serve(const Envelope& envelope) {
    const auto answer_of = [&]() -> Result<Bytes> {
        switch (envelope.type) {
            case wire::DescribePcr::kType:
                return describe_pcr(envelope);
            case wire::ExtendPcr::kType:
                return extend_pcr(envelope);
            case wire::LockPcr::kType:
                return lock_pcr(envelope);
            case wire::LockPcrs::kType:
                return lock_pcrs(envelope);
            case wire::Describe::kType:
                return describe(envelope);
            case wire::Attest::kType:
                return attest(envelope);
            default:
                return api::wrong_body(envelope.type, envelope.body.size());
        }
    };
    auto answer = TRY(answer_of());
    return std::optional<Bytes>(std::move(answer));
}

Result<Bytes> Session::open(const Envelope& envelope) {
    const auto message = TRY(decode<wire::Open>(envelope));
    const auto vm_id = TRY(api::VmId::parse(message.vm_id));
    const auto module_id = message.module_id.text();
    if (!module_id || !is_module_id(*module_id))
        return fail(ErrorCode::InvalidMessage, "the module id is empty or not printable");
    if (!shared_.open_vms.insert(vm_id.text()).second)
        return fail(ErrorCode::AlreadyExists, "VM " + vm_id.text() + " is open already");
    compare_clocks(message.host_time_ms, shared_.authority.now());
    record_.vm_id = vm_id.text();
    record_.module_id = std::string(*module_id);
    record_.pcrs.set_measured(3, message.pcr3);
    record_.pcrs.set_measured(4, message.pcr4);
    state_ = State::Opened;
    return encode(wire::Done{.request = message.request, .reserved = {}});
}

Result<Bytes> Session::measured(const Envelope& envelope) {
    const auto message = TRY(decode<wire::Measured>(envelope));
    if ((message.flags & ~wire::Measured::kDebug) != 0)
        return fail(ErrorCode::InvalidMessage, "unknown flags in Measured");
    // nitro.md 2.7: a debug enclave's documents do not say what runs in it.
    if ((message.flags & wire::Measured::kDebug) == 0) {
        record_.pcrs.set_measured(0, message.pcr0);
        record_.pcrs.set_measured(1, message.pcr1);
        record_.pcrs.set_measured(2, message.pcr2);
    }
    record_.pcrs.set_measured(8, message.pcr8);
    token_ = TRY(crypto::random_array<std::tuple_size_v<ResumeToken>>());
    TRY(shared_.store.save(token_, record_));
    shared_.open_files.insert(SessionStore::name_of(token_));
    state_ = State::Serving;
    return encode(wire::Sealed{.request = message.request, .reserved = {}, .token = token_});
}

Result<Bytes> Session::resume(const Envelope& envelope) {
    const auto message = TRY(decode<wire::Resume>(envelope));
    auto record = TRY(shared_.store.load(message.token));
    if (!shared_.open_vms.insert(record.vm_id).second)
        return fail(ErrorCode::AlreadyExists, "VM " + record.vm_id + " is open already");
    record_ = std::move(record);
    token_ = message.token;
    shared_.open_files.insert(SessionStore::name_of(token_));
    state_ = State::Serving;
    return encode(wire::Done{.request = message.request, .reserved = {}});
}

Result<Bytes> Session::forget(const Envelope& envelope) {
    const auto message = TRY(decode<wire::Forget>(envelope));
    const auto record = shared_.store.load(message.token);
    if (record && shared_.open_vms.contains(record->vm_id))
        return fail(ErrorCode::AlreadyExists, "VM " + record->vm_id + " is open");
    // A damaged file goes, too: it is found by the token only.
    shared_.store.remove(message.token);
    return encode(wire::Done{.request = message.request, .reserved = {}});
}

Bytes Session::rejected(uint32_t request, NsmStatus status) {
    ++shared_.counters.rejected;
    return encode(wire::Rejected{.request = request, .status = static_cast<uint32_t>(status)});
}

NsmStatus Session::change(auto&& change_pcrs) {
    VmRecord changed = record_;
    const NsmStatus status = change_pcrs(changed.pcrs);
    if (status != NsmStatus::Success) return status;
    const auto saved = shared_.store.save(token_, changed);
    if (!saved) {
        log::error("the state of VM {} cannot be stored: {}", record_.vm_id, saved.error().to_string());
        return NsmStatus::InternalError;
    }
    record_ = std::move(changed);
    return NsmStatus::Success;
}

Result<Bytes> Session::describe_pcr(const Envelope& envelope) {
    const auto message = TRY(decode<wire::DescribePcr>(envelope));
    if (message.index >= attestation::PcrBank::kCount)
        return rejected(message.request, NsmStatus::InvalidIndex);
    return encode(wire::PcrDescription{.request = message.request,
                                       .locked = record_.pcrs.is_locked(message.index) ? 1U : 0U,
                                       .value = record_.pcrs.value(message.index)});
}

Result<Bytes> Session::extend_pcr(const Envelope& envelope) {
    const auto message = TRY(decode_with_tail<wire::ExtendPcr>(envelope));
    const uint32_t index = message.body.index;
    const auto status = change([&](auto& pcrs) { return pcrs.extend(index, message.tail); });
    if (status != NsmStatus::Success) return rejected(message.body.request, status);
    return encode(wire::PcrExtended{
        .request = message.body.request, .reserved = {}, .value = record_.pcrs.value(index)});
}

Result<Bytes> Session::lock_pcr(const Envelope& envelope) {
    const auto message = TRY(decode<wire::LockPcr>(envelope));
    const auto status = change([&](auto& pcrs) { return pcrs.lock(message.index); });
    if (status != NsmStatus::Success) return rejected(message.request, status);
    return encode(wire::Done{.request = message.request, .reserved = {}});
}

Result<Bytes> Session::lock_pcrs(const Envelope& envelope) {
    const auto message = TRY(decode<wire::LockPcrs>(envelope));
    const auto status = change([&](auto& pcrs) { return pcrs.lock_below(message.range); });
    if (status != NsmStatus::Success) return rejected(message.request, status);
    return encode(wire::Done{.request = message.request, .reserved = {}});
}

Result<Bytes> Session::describe(const Envelope& envelope) {
    const auto message = TRY(decode<wire::Describe>(envelope));
    return encode(wire::Description{.request = message.request,
                                    .max_pcrs = attestation::PcrBank::kCount,
                                    .locked_pcrs = record_.pcrs.locked(),
                                    .reserved = {},
                                    .module_id = api::TextField<128>::of(record_.module_id)});
}

Result<Bytes> Session::attest(const Envelope& envelope) {
    const auto message = TRY(decode_with_tail<wire::Attest>(envelope));
    const auto fields = TRY(wire::attest_fields(message));
    const uint32_t request = message.body.request;
    if (fields.public_key && fields.public_key->empty()) return rejected(request, NsmStatus::InvalidArgument);
    const auto document = signed_document(fields);
    if (!document) {
        log::error("no document for VM {}: {}", record_.vm_id, document.error().to_string());
        return rejected(request, NsmStatus::InternalError);
    }
    ++shared_.counters.documents;
    return encode(wire::Document{.request = request, .reserved = {}}, *document);
}

Result<Bytes> Session::signed_document(const wire::AttestFields& fields) {
    const auto now = shared_.authority.now();
    if (!leaf_ || now + shared_.renew_before > leaf_->certificate.not_after() ||
        now < leaf_->certificate.not_before()) {
        auto issued = TRY(shared_.authority.issue_leaf(record_.vm_id));
        leaf_ = std::move(issued);
    }
    const attestation::DocumentPlan plan{.module_id = record_.module_id,
                                         .timestamp = now,
                                         .pcrs = record_.pcrs,
                                         .leaf = leaf_->certificate,
                                         .bundle = *leaf_->bundle,
                                         .fields = fields};
    return attestation::make_document(plan, leaf_->key);
}

Result<Bytes> Session::root_certificate(const Envelope& envelope) {
    const auto message = TRY(decode<wire::GetRootCertificate>(envelope));
    const auto pem = TRY(shared_.authority.root().to_pem());
    const bool development = shared_.authority.kind() == HostKind::Development;
    return encode(wire::RootCertificate{.request = message.request,
                                        .flags = development ? wire::RootCertificate::kDevelopment : 0U},
                  as_byte_view(pem));
}

Result<Bytes> Session::status(const Envelope& envelope) {
    const auto message = TRY(decode<wire::GetStatus>(envelope));
    const auto stored = TRY(shared_.store.names());
    const auto& authority = shared_.authority;
    return encode(
        wire::Status{.request = message.request,
                     .flags = authority.kind() == HostKind::Development ? wire::Status::kDevelopment : 0U,
                     .root_fingerprint = authority.root().fingerprint(),
                     .issuer_not_after = seconds_of(authority.issuer_not_after()),
                     .vms = static_cast<uint32_t>(shared_.open_vms.size()),
                     .resumable = static_cast<uint32_t>(std::ranges::count_if(
                         stored, [&](const auto& name) { return !shared_.open_files.contains(name); })),
                     .documents = shared_.counters.documents,
                     .rejected = shared_.counters.rejected,
                     .violations = shared_.counters.violations,
                     .refused_peers = shared_.counters.refused_peers});
}

Result<Bytes> Session::sgx_root(const Envelope& envelope) {
    const auto message = TRY(decode<wire::GetSgxRoot>(envelope));
    const auto owner = message.owner.text();
    if (!owner || (!owner->empty() && !is_module_id(*owner)))
        return fail(ErrorCode::InvalidMessage, "the owner of an SGX root is not printable");
    if (shared_.sgx_roots == nullptr)
        return fail(ErrorCode::Unsupported, "this attestor has no secret for SGX");
    const auto root = TRY(shared_.sgx_roots->root_of(*owner));
    return encode(wire::SgxRoot{.request = message.request, .reserved = {}, .root = root});
}

}  // namespace alcove::attestor
