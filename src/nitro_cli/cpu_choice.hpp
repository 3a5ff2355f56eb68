// SPDX-License-Identifier: Apache-2.0
//
// Which CPUs an enclave gets: the user's wish against the pool that the driver has
// (/sys/module/nitro_enclaves/parameters/ne_cpus). Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "nitro_cli/run_request.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

// "2-3,6": MalformedCpuId or Cpu. An empty pool is an empty list.
Result<std::vector<uint32_t>> parse_cpu_list(std::string_view text);

// Ids for NE_ADD_VCPU in turn, 0 where the driver may choose. InvalidCpuConfiguration, NoSuchCpuInPool,
// InsufficientCpus.
Result<std::vector<uint32_t>> choose_cpus(const RunRequest& request, const std::vector<uint32_t>& pool);

}  // namespace alcove::nitro_cli
