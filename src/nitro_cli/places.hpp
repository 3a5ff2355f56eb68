// SPDX-License-Identifier: Apache-2.0
//
// Where things are in a machine that takes enclaves out of itself: folders of sockets and of the log, and
// what enclaves are called.
#pragma once

#include <string>
#include <string_view>

#include "support/result.hpp"

namespace alcove::nitro_cli {

struct Places {
    std::string sockets = "/run/nitro_enclaves";   // $NITRO_CLI_SOCKETS_PATH
    std::string logs = "/var/log/nitro_enclaves";  // $NITRO_CLI_LOGS_PATH
    std::string cpu_pool = "/sys/module/nitro_enclaves/parameters/ne_cpus";
    std::string asset_tag = "/sys/devices/virtual/dmi/id/board_asset_tag";  // the instance's id

    static Places of_environment();

    std::string log_file() const { return logs + "/nitro_enclaves.log"; }
    std::string lock_file() const { return sockets + "/start.lock"; }
    // Of an enclave's process: "<slot_uid>.sock". Socket when `enclave_id` is no id.
    Result<std::string> socket_of(std::string_view enclave_id) const;
    // "i-0123456789abcdef0-enc18c2f31a5c07d2e": not padded, as the original has it.
    std::string enclave_id(uint64_t slot_uid) const;

    // Makes both folders if they are not there; root gives them to the group `ne`, where there is one, as the
    // original's installation does. ReadFromDisk or Logger.
    Result<void> prepare() const;
};

}  // namespace alcove::nitro_cli
