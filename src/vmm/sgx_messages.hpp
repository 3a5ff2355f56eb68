// SPDX-License-Identifier: Apache-2.0
//
// SGX between the messages and the machine: what a launch asks for, and what the engine has to tell.
#pragma once

#include <optional>

#include "api/sgx.hpp"
#include "api/sgx_messages.hpp"
#include "sgx_hardware/hardware_sgx.hpp"
#include "sgx_vm/sgx_vm.hpp"

namespace alcove::vmm {

// Nothing without SGX, or with that of the host's processors. The numbers were checked with the launch;
// `spill` is open where EPC has a budget.
std::optional<sgx_vm::SgxPlan> sgx_plan_of(const api::Sgx& sgx, Fd spill);
// Nothing without the processors'.
std::optional<sgx_hardware::HardwarePlan> hardware_plan_of(const api::Sgx& sgx, std::vector<Fd> epc,
                                                           Fd provision);

// Of enclaves, at most as many as a report carries; of EPC with a budget also that and its counters.
api::vmm::SgxState sgx_state_of(const sgx::EngineReport& report, uint32_t budget_pages = 0,
                                const sgx::SpillingStore::Statistics& spill = {});
// Of the processors' SGX, which tell no more.
api::vmm::SgxState sgx_state_of(const std::vector<memory::GuestRange>& sections);

}  // namespace alcove::vmm
