// SPDX-License-Identifier: Apache-2.0
//
// The enclaves that a VM's configuration names: handed over with the VM, and waited for after it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/host_access.hpp"
#include "cli/interruption.hpp"
#include "cli/invocation.hpp"
#include "cli/progress.hpp"
#include "cli/vm_view.hpp"

namespace alcove::cli {

// Their images at the host, for as long as this is here, and what is asked for.
struct HandedEnclaves {
    std::vector<HandedImage> images;
    Json json = Json::array();  // as the API takes it

    // An image has to stay until it has been copied.
    bool are_needed() const;
};
Result<HandedEnclaves> hand_over_enclaves(const VmStart& command, HostAccess& host);

struct StartedEnclave {
    Json json;
    VmView view;
};
// Until each is ready or over; without waiting, until its image has been copied. An interruption ends it
// early.
Result<std::vector<StartedEnclave>> follow_enclaves(const std::string& vm, bool wait, HostAccess& host,
                                                    Interruption& interruption, Progress& progress,
                                                    std::chrono::steady_clock::time_point deadline);

// What became of them, for whoever started the VM, which runs on whatever it is: EnclaveEnded and a note for
// each that is over and never was ready, TimedOut for one that was waited for and is on its way still.
Exit outcome_of(const std::vector<StartedEnclave>& enclaves, bool waited, const Output& output);

}  // namespace alcove::cli
