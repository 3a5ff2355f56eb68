// SPDX-License-Identifier: Apache-2.0
//
// Stand-alone enclaves of alcoved, with this tool's words: on a host, or on a machine whose embedded host is
// started for it.
#pragma once

#include <memory>

#include "cli/host_access.hpp"
#include "cli/output.hpp"
#include "cli/vm_view.hpp"
#include "nitro_cli/enclave_host.hpp"

namespace alcove::nitro_cli {

class DaemonHost final : public EnclaveHost {
  public:
    DaemonHost(std::unique_ptr<cli::HostAccess> host, cli::Streams streams)
        : host_(std::move(host)), streams_(std::move(streams)) {}

    Result<Started> run(const RunRequest& request) override;
    Result<Listed> describe(Metadata metadata) override;
    Result<Json> terminate(const EnclaveChoice& enclave) override;
    Result<Listed> terminate_all() override;
    Result<void> show_console(const EnclaveChoice& enclave,
                              std::optional<std::chrono::seconds> limit) override;

  private:
    // The stand-alone enclaves that are not over, as alcoved tells of them.
    Result<std::vector<cli::VmView>> enclaves() const;
    Result<cli::VmView> find(const EnclaveChoice& enclave) const;
    Result<Json> inspect(const cli::VmView& vm) const;
    Result<Json> stop(const cli::VmView& vm) const;

    std::unique_ptr<cli::HostAccess> host_;
    cli::Streams streams_;
};

}  // namespace alcove::nitro_cli
