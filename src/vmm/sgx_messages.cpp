// SPDX-License-Identifier: Apache-2.0
#include "vmm/sgx_messages.hpp"

#include <algorithm>
#include <utility>

namespace alcove::vmm {

namespace {

namespace messages = api::vmm;

messages::SgxEnclaveEntry entry_of(const sgx::EnclaveReport& enclave) {
    using Entry = messages::SgxEnclaveEntry;
    Entry entry{
        .eid = enclave.eid,
        .base = enclave.base,
        .size = enclave.size,
        .entries = enclave.entries,
        .asynchronous_exits = enclave.asynchronous_exits,
        .pages = enclave.pages,
        .threads_inside = enclave.threads_inside,
        .flags = (enclave.initialized ? Entry::kInitialized : 0) | (enclave.debug ? Entry::kDebug : 0),
        .reserved = {},
        .mrenclave = enclave.mrenclave,
        .mrsigner = enclave.mrsigner,
        .encls = {},
        .enclu = {}};
    std::copy(enclave.encls.begin(), enclave.encls.end(), entry.encls.begin());
    std::copy(enclave.enclu.begin(), enclave.enclu.end(), entry.enclu.begin());
    return entry;
}

// What both backends have.
sgx::Configuration configuration_of(const api::Sgx& sgx) {
    const auto has = [&](uint32_t flag) { return (sgx.flags & flag) != 0; };
    sgx::Configuration configuration;
    for (const auto& section : sgx.sections) {
        if (section.size_mib == 0) break;
        sgx::SectionPlan planned{.size_mib = section.size_mib, .node = section.node};
        if (section.base != api::EpcSection::kAnywhere) planned.base = memory::GuestAddress(section.base);
        configuration.epc.push_back(planned);
    }
    configuration.sgx1 = has(api::Sgx::kSgx1);
    configuration.sgx2 = has(api::Sgx::kSgx2);
    std::copy(sgx.launch_hash.begin(), sgx.launch_hash.end(), configuration.launch_hash.begin());
    configuration.launch_hash_writable = has(api::Sgx::kLaunchHashWritable);
    configuration.provision_key = has(api::Sgx::kProvisionKey);
    return configuration;
}

}  // namespace

std::optional<sgx_vm::SgxPlan> sgx_plan_of(const api::Sgx& sgx, Fd spill) {
    if (!sgx.is_there() || sgx.is_hardware()) return std::nullopt;
    sgx_vm::SgxPlan plan;
    plan.root = sgx.root;
    plan.configuration = configuration_of(sgx);
    if (sgx.has_spill_file()) {
        plan.configuration.population =
            sgx.has_balloon() ? sgx::Population::Balloon : sgx::Population::Oversubscribe;
        plan.configuration.budget_mib = sgx.budget_mib;
        plan.spill = std::move(spill);
    }
    return plan;
}

std::optional<sgx_hardware::HardwarePlan> hardware_plan_of(const api::Sgx& sgx, std::vector<Fd> epc,
                                                           Fd provision) {
    if (!sgx.is_hardware()) return std::nullopt;
    sgx_hardware::HardwarePlan plan{.configuration = configuration_of(sgx)};
    plan.configuration.backend = sgx::Backend::Hardware;
    plan.configuration.key_root = sgx::KeyRoot::Host;
    plan.epc = std::move(epc);
    plan.provision = std::move(provision);
    return plan;
}

messages::SgxState sgx_state_of(const std::vector<memory::GuestRange>& sections) {
    messages::SgxState state;
    for (const auto& range : sections)
        state.sections.push_back({.base = range.base.value(), .size = range.size});
    return state;
}

messages::SgxState sgx_state_of(const sgx::EngineReport& report, uint32_t budget_pages,
                                const sgx::SpillingStore::Statistics& spill) {
    messages::SgxState state{.enclaves_in_all = static_cast<uint32_t>(report.enclaves.size()),
                             .valid_pages = report.valid_pages,
                             .resident_pages = report.occupancy.resident,
                             .evicted_pages = report.occupancy.evicted,
                             .budget_pages = budget_pages,
                             .evictions = spill.evictions,
                             .loads = spill.loads,
                             .overdrafts = spill.overdrafts,
                             .asynchronous_exits = report.asynchronous_exits};
    state.sections = sgx_state_of(report.sections).sections;
    for (const auto& leaf : report.leaves)
        state.leaves.push_back({.name = api::TextField<16>::of(leaf.name),
                                .completed = leaf.completed,
                                .faulted = leaf.faulted});
    const size_t count = std::min(report.enclaves.size(), messages::SgxReport::kMaxEnclaves);
    for (size_t i = 0; i < count; ++i)
        state.enclaves.push_back(entry_of(report.enclaves[i]));
    return state;
}

}  // namespace alcove::vmm
