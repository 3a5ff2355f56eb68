// SPDX-License-Identifier: Apache-2.0
//
// From a wish to an enclave that is ready, or over.
#pragma once

#include "cli/host_access.hpp"
#include "cli/interruption.hpp"
#include "cli/invocation.hpp"
#include "cli/progress.hpp"
#include "cli/vm_view.hpp"

namespace alcove::cli {

// In MiB, where nobody says: four times the image, which is what AWS's tool asks for: the image itself, what
// its ramdisks unpack to, and room.
uint64_t default_memory_mib(uint64_t image_bytes);

struct Launched {
    Json json;  // as the API has it
    VmView view;
};
// Waits as the command says. An interruption takes back what was begun: Cancelled.
Result<Launched> launch_enclave(const EnclaveRun& command, HostAccess& host, Interruption& interruption,
                                Progress& progress);

}  // namespace alcove::cli
