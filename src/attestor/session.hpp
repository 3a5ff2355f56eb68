// SPDX-License-Identifier: Apache-2.0
//
// One connection's conversation (api/attestor_messages.hpp), as pure logic: a message in, at most one answer
// out. It knows no socket, so that a fuzzer and the tests talk to it directly.
//
//     Greeting ──Hello──► Idle ──Open──► Opened ──Measured──► Serving
//                         │  ▲ └──────────Resume──────────────▲
//                         └──┘ Forget, GetRootCertificate, GetStatus, GetSgxRoot
//
// Any message that its state or its role does not know ends the conversation (Closed); there is no way back
// in the picture, so that PCR0 to 15 and the module id of a VM are set once. What Resume brings back is what
// was stored before the answer that told the VM of it.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "api/attestor_messages.hpp"
#include "attestor/authority.hpp"
#include "attestor/session_store.hpp"
#include "attestor/sgx_roots.hpp"

namespace alcove::attestor {

// Since the process began; for GetStatus.
struct Counters {
    uint64_t documents = 0;
    uint64_t rejected = 0;
    uint64_t violations = 0;
    uint64_t refused_peers = 0;
};

// What all conversations share. Borrowed by them; belongs to the event loop's thread.
struct Shared {
    Authority& authority;
    const SessionStore& store;
    const SgxRoots* sgx_roots = nullptr;     // null: none are given
    std::chrono::seconds renew_before{600};  // of a leaf: before its end
    Counters counters{};
    std::set<std::string> open_vms{};    // by id
    std::set<std::string> open_files{};  // of the store, by name
};

// Whom the kernel says the other end is, and what it may begin with.
enum class PeerRole {
    Broker,  // Open, GetSgxRoot, and what readers may
    Keeper,  // a shim: Resume and Forget
    Reader,  // GetRootCertificate and GetStatus
};

class Session {
  public:
    struct Reply {
        std::optional<Bytes> message;
        // The conversation is over, once the message is sent; what it was that broke it.
        std::optional<Error> violation;
    };

    Session(Shared& shared, PeerRole role) : shared_(shared), role_(role) {}
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    Reply handle(ByteView message);

    // Under which name the store has this VM; nothing before Measured and after the VM broke the protocol.
    std::optional<std::string> stored_name() const;

    bool is_greeted() const { return state_ != State::Greeting; }
    const std::string& vm_id() const { return record_.vm_id; }  // empty before Open

  private:
    enum class State { Greeting, Idle, Opened, Serving, Closed };

    // Each gives the answer, or the Error that ends the conversation.
    Result<std::optional<Bytes>> dispatch(const api::Envelope& envelope);
    Result<std::optional<Bytes>> greet(const api::Envelope& envelope);
    Result<std::optional<Bytes>> idle(const api::Envelope& envelope);
    Result<std::optional<Bytes>> serve(const api::Envelope& envelope);

    Result<Bytes> open(const api::Envelope& envelope);
    Result<Bytes> measured(const api::Envelope& envelope);
    Result<Bytes> resume(const api::Envelope& envelope);
    Result<Bytes> forget(const api::Envelope& envelope);
    Result<Bytes> describe_pcr(const api::Envelope& envelope);
    Result<Bytes> extend_pcr(const api::Envelope& envelope);
    Result<Bytes> lock_pcr(const api::Envelope& envelope);
    Result<Bytes> lock_pcrs(const api::Envelope& envelope);
    Result<Bytes> describe(const api::Envelope& envelope);
    Result<Bytes> attest(const api::Envelope& envelope);
    Result<Bytes> root_certificate(const api::Envelope& envelope);
    Result<Bytes> status(const api::Envelope& envelope);
    Result<Bytes> sgx_root(const api::Envelope& envelope);

    // Tries a change on a copy, stores it, and only then keeps it.
    api::attestor::NsmStatus change(auto&& change_pcrs);
    Result<Bytes> signed_document(const api::attestor::AttestFields& fields);
    Bytes rejected(uint32_t request, api::attestor::NsmStatus status);

    Shared& shared_;
    PeerRole role_;
    State state_ = State::Greeting;
    VmRecord record_;
    ResumeToken token_{};
    std::optional<LeafIdentity> leaf_;
};

}  // namespace alcove::attestor
