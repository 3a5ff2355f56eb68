// SPDX-License-Identifier: Apache-2.0
#include "daemon/sgx_order.hpp"

#include <algorithm>

#include "memory/layout.hpp"

namespace alcove::daemon {

namespace {
namespace layout = memory::layout;
}

Result<void> check_sgx(const sgx::Configuration& configuration, uint64_t memory_bytes) {
    TRY(sgx::check(configuration));
    TRY(sgx::check_available(configuration));
    if (configuration.size_mib() * 1_MiB > api::kMaxMemoryBytes)
        return fail(ErrorCode::MachineConfig, "the EPC sections of a VM are at most 512 GiB together");
    std::vector<memory::GuestRange> ram;
    for (const auto& region : layout::ram_regions(memory_bytes))
        ram.push_back(region.range);
    TRY(sgx::place_sections(configuration, ram, layout::device_ranges(), layout::kSgxPrivate.base.value()));
    return {};
}

uint64_t epc_memory(const sgx::Configuration& configuration) {
    if (configuration.backend == sgx::Backend::Hardware) return 0;
    return align_up<uint64_t>(configuration.resident_mib() * 1_MiB, 2_MiB);
}

uint64_t epc_of_hardware(const sgx::Configuration& configuration) {
    return configuration.backend == sgx::Backend::Hardware ? configuration.size_mib() * 1_MiB : 0;
}

api::Sgx sgx_order(const sgx::Configuration& configuration) {
    api::Sgx order;
    for (size_t i = 0; i < configuration.epc.size(); ++i) {
        const auto& section = configuration.epc[i];
        order.sections.at(i) = {.base = section.base ? section.base->value() : api::EpcSection::kAnywhere,
                                .size_mib = static_cast<uint32_t>(section.size_mib),
                                .node = section.node};
    }
    if (configuration.has_budget()) order.budget_mib = static_cast<uint32_t>(configuration.resident_mib());
    order.balloon_mib = static_cast<uint32_t>(configuration.balloon_mib.value_or(0));
    std::copy(configuration.launch_hash.begin(), configuration.launch_hash.end(), order.launch_hash.begin());
    order.flags = (configuration.sgx1 ? api::Sgx::kSgx1 : 0U) | (configuration.sgx2 ? api::Sgx::kSgx2 : 0U) |
                  (configuration.launch_hash_writable ? api::Sgx::kLaunchHashWritable : 0U) |
                  (configuration.provision_key ? api::Sgx::kProvisionKey : 0U) |
                  (configuration.population == sgx::Population::Balloon ? api::Sgx::kBalloon : 0U) |
                  (configuration.backend == sgx::Backend::Hardware ? api::Sgx::kHardware : 0U);
    return order;
}

std::string sgx_root_owner(sgx::KeyRoot key_root, const std::string& vm_id, const std::string& name) {
    switch (key_root) {
        case sgx::KeyRoot::Host:
            return "host";
        case sgx::KeyRoot::Vm:
            return "vm:" + (name.empty() ? vm_id : name);
        case sgx::KeyRoot::Ephemeral:
            break;
    }
    return {};
}

}  // namespace alcove::daemon
