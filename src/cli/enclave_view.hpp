// SPDX-License-Identifier: Apache-2.0
//
// What the API says of an enclave, as values and as text. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codec/json.hpp"
#include "support/error.hpp"
#include "support/result.hpp"

namespace alcove::cli {

struct EnclaveView {
    std::string id;
    std::string name;
    std::string state;
    bool ready = false;
    uint64_t cid = 0;
    uint64_t vcpus = 0;
    uint64_t memory_mib = 0;
    std::string pages;
    std::string policy;
    bool debug = false;
    std::string created;
    std::vector<std::pair<std::string, std::string>> pcrs;  // "PCR0", hexadecimal
    std::string signer;
    std::string reason;
    std::string detail;
    std::optional<Error> error;
    std::optional<std::pair<uint64_t, uint64_t>> progress;  // done, total

    bool is_over() const { return state == "stopped" || state == "failed"; }
};

// ErrorCode::JsonMalformed when it is not what the API promises.
Result<EnclaveView> read_enclave(const codec::json::Json& json);

std::string render_list(const std::vector<EnclaveView>& enclaves);
std::string render_enclave(const EnclaveView& enclave);

// "running", "running (ready)", "stopped: power_off", "failed: E32".
std::string state_text(const EnclaveView& enclave);
// What an enclave on its way is doing: "measuring the image, 45 %".
std::string progress_text(const EnclaveView& enclave);
// Why an enclave that is over never was ready.
Error ending_error(const EnclaveView& enclave);

}  // namespace alcove::cli
