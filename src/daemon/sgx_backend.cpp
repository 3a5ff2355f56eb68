// SPDX-License-Identifier: Apache-2.0
#include "daemon/sgx_backend.hpp"

#include "support/bits.hpp"

namespace alcove::daemon {

namespace {

Result<void> check_hardware(const sgx::Configuration& configuration, const host::SgxHardware& host) {
    if (!host.present || !host.virtual_epc_device)
        return fail(
            ErrorCode::Unsupported,
            "this host has no EPC for VMs (no /dev/sgx_vepc): sgx.backend is \"software\" or \"auto\"");
    TRY(sgx::check_for_hardware(configuration));
    return sgx::check_abilities(
        configuration, {.sgx1 = host.sgx1, .sgx2 = host.sgx2, .launch_control = host.launch_control});
}

}  // namespace

Result<sgx::Backend> choose_backend(const sgx::Configuration& configuration, const host::SgxHardware& host,
                                    uint64_t free_epc_bytes) {
    if (configuration.backend == sgx::Backend::Software) return sgx::Backend::Software;
    const auto able = check_hardware(configuration, host);
    if (configuration.backend == sgx::Backend::Hardware) {
        if (!able) return Failure{able.error()};
        return sgx::Backend::Hardware;
    }
    const bool is_free = configuration.size_mib() * 1_MiB <= free_epc_bytes;
    return able && is_free ? sgx::Backend::Hardware : sgx::Backend::Software;
}

}  // namespace alcove::daemon
