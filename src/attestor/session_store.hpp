// SPDX-License-Identifier: Apache-2.0
//
// What is known of each running VM, in one small file each, so that a restart of the attestor does not take
// PCRs and locks from VMs that run on. Written before a change is answered. The folder is meant to be a
// tmpfs: it need not outlive the VMs, which do not outlive the host.
//
// A file is named by one half of a hash of the VM's resume token and holds the other half, so that neither
// the folder nor a file gives anybody a token, and the time that a guess takes tells nothing about one.
#pragma once

#include <string>

#include "api/attestor_messages.hpp"
#include "attestation/pcr_bank.hpp"
#include "support/result.hpp"

namespace alcove::attestor {

using api::attestor::ResumeToken;

// The measured facts of one VM and what it made of its own PCRs.
struct VmRecord {
    std::string vm_id;
    std::string module_id;
    attestation::PcrBank pcrs;
};

class SessionStore {
  public:
    // Makes the folder (0700) when it is not there.
    static Result<SessionStore> open(std::string folder);

    Result<void> save(const ResumeToken& token, const VmRecord& record) const;
    // ErrorCode::NotFound for an unknown token, ErrorCode::InvalidMessage for a file that is not one of ours.
    Result<VmRecord> load(const ResumeToken& token) const;
    void remove(const ResumeToken& token) const;

    // The files there are, by name; those of VMs that are open have name_of() their token.
    Result<std::vector<std::string>> names() const;
    void remove_named(const std::string& name) const;
    static std::string name_of(const ResumeToken& token);

  private:
    explicit SessionStore(std::string folder) : folder_(std::move(folder)) {}
    std::string path_of(const std::string& name) const { return folder_ + "/" + name; }

    std::string folder_;
};

}  // namespace alcove::attestor
