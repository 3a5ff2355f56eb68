// SPDX-License-Identifier: Apache-2.0
//
// From a request to an enclave that has said that it is up, in the steps of nitro.md 2.4. What fails gives
// everything back that was taken until then.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ne_driver/driver.hpp"
#include "ne_driver/huge_pages.hpp"
#include "nitro_cli/heartbeat.hpp"
#include "nitro_cli/image_facts.hpp"
#include "nitro_cli/places.hpp"
#include "nitro_cli/run_request.hpp"
#include "nitro_cli/start_lock.hpp"
#include "nitro_cli/view.hpp"

namespace alcove::nitro_cli {

// What starts an enclave; borrowed.
struct StartParts {
    ne_driver::Driver& driver;
    ne_driver::PageSource& pages;
    HeartbeatPort& heartbeat;
    const Places& places;
};

struct StartedEnclave {
    ImageFacts facts;
    std::vector<ne_driver::HugePage> pages;       // outlive the enclave, as the driver has them
    std::unique_ptr<ne_driver::Enclave> enclave;  // empty: freed
    EnclaveView view;
    std::optional<StartLock> lock;  // until others can see the enclave and its name
};

// `caller` is looked at, not read: when it hangs up, nobody wants the enclave any more. `say` gets lines for
// whoever waits.
Result<StartedEnclave> start_enclave(const RunRequest& request, const StartParts& parts, const Fd& caller,
                                     const std::function<void(const std::string&)>& say);

}  // namespace alcove::nitro_cli
