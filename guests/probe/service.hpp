// SPDX-License-Identifier: Apache-2.0
//
// What one connection to the probe gets: one command, carried out.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "probe/channel.hpp"
#include "secure_module/secure_module.hpp"
#include "support/result.hpp"

namespace alcove::probe {

struct Surroundings {
    std::string report;  // the whole answer to `report`
    std::function<Result<Fd>(uint32_t cid, uint32_t port)> connect;
    std::function<Result<std::unique_ptr<secure_module::SecureModule>>()> open_module{};
};

// Returns when the connection has had its answer. An Error is told to the other side as a line
// "FAILED <reason>" where the command has a line of answer, and given back. `exit`, `abort`, and what ends
// the machine do not return.
Result<void> serve(Channel& channel, const Surroundings& surroundings);

}  // namespace alcove::probe
