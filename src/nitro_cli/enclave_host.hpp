// SPDX-License-Identifier: Apache-2.0
//
// Where enclaves come from: out of this machine, when it is a primary VM (primary_host.hpp), or from alcoved
// (daemon_host.hpp). Behind this the commands are the same.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "nitro_cli/arguments.hpp"
#include "nitro_cli/run_request.hpp"
#include "nitro_cli/view.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

class EnclaveHost {
  public:
    virtual ~EnclaveHost() = default;

    struct Started {
        Json json;  // run_json()
        std::string id;
    };
    // Waits until the enclave has said that it is up. ProcessConnection when what went wrong was told
    // already.
    virtual Result<Started> run(const RunRequest& request) = 0;

    struct Listed {
        Json list;          // an array of what describe or terminate gives for one
        size_t silent = 0;  // enclaves that should be in it, and whose processes gave nothing
    };
    virtual Result<Listed> describe(Metadata metadata) = 0;
    virtual Result<Json> terminate(const EnclaveChoice& enclave) = 0;
    virtual Result<Listed> terminate_all() = 0;

    // Writes what the console says until it ends, or the time is over. ConsoleConnection when it has none.
    virtual Result<void> show_console(const EnclaveChoice& enclave,
                                      std::optional<std::chrono::seconds> limit) = 0;
};

}  // namespace alcove::nitro_cli
