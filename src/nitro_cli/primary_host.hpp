// SPDX-License-Identifier: Apache-2.0
//
// Enclaves out of this machine: each with a process of its own (enclave_process.hpp), found by its socket.
#pragma once

#include <functional>

#include "cli/output.hpp"
#include "nitro_cli/enclave_host.hpp"
#include "nitro_cli/places.hpp"
#include "support/fd.hpp"

namespace alcove::nitro_cli {

class PrimaryHost final : public EnclaveHost {
  public:
    // Starts the process of an enclave and gives a connection to it.
    using Starter = std::function<Result<Fd>(const RunRequest&)>;

    PrimaryHost(Places places, cli::Streams streams, Starter starter)
        : places_(std::move(places)), streams_(std::move(streams)), starter_(std::move(starter)) {}

    Result<Started> run(const RunRequest& request) override;
    Result<Listed> describe(Metadata metadata) override;
    Result<Json> terminate(const EnclaveChoice& enclave) override;
    Result<Listed> terminate_all() override;
    Result<void> show_console(const EnclaveChoice& enclave,
                              std::optional<std::chrono::seconds> limit) override;

  private:
    Result<std::string> id_of(const EnclaveChoice& enclave) const;
    // The JSON that a process answers.
    Result<Json> read_json(const Fd& socket) const;

    Places places_;
    cli::Streams streams_;
    Starter starter_;
};

// With the kernel's driver, huge pages and vsock.
PrimaryHost make_primary_host(const cli::Streams& streams);

}  // namespace alcove::nitro_cli
