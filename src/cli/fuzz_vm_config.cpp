// SPDX-License-Identifier: Apache-2.0
//
// A VM's configuration file: it is refused with an error that says what is wrong, or is what the command line
// could have asked for as well; its SGX goes to alcoved as JSON and is the same there, its networks are read
// or refused.
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "cli/network_option.hpp"
#include "cli/vm_config.hpp"
#include "sgx/configuration_json.hpp"
#include "support/bytes.hpp"

namespace {

using namespace alcove;

void require(bool condition) {
    if (!condition) std::abort();
}

void require_error(const Error& error) {
    require(!error.message().empty());
    require(error.code() == ErrorCode::InvalidArgument || error.code() == ErrorCode::MachineConfig);
}

void check_sgx(const sgx::Configuration& configuration) {
    if (const auto checked = sgx::check(configuration); !checked) return require_error(checked.error());
    require(!configuration.epc.empty() && configuration.resident_mib() <= configuration.size_mib());
    const auto sent = codec::json::dump(sgx::to_json(configuration));
    const auto received = sgx::parse_configuration(codec::json::parse(sent).value());
    require(received && *received == configuration);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto read = cli::apply_configuration({}, as_text({data, size}), "/vms");
    if (!read) {
        require_error(read.error());
        return 0;
    }
    require(!read->vcpus || *read->vcpus > 0);
    require(!read->memory_mib || *read->memory_mib > 0);
    for (const auto& file : read->ramdisks)
        require(file.starts_with('/'));
    for (const auto& file : read->disks)
        require(file.starts_with('/'));
    for (const auto& enclave : read->provisioned)
        require(enclave.image.starts_with('/') && (!enclave.memory_mib || *enclave.memory_mib > 0));
    for (const auto& network : read->networks)
        if (const auto option = cli::parse_network(network); !option) require_error(option.error());
    if (read->sgx) check_sgx(*read->sgx);
    return 0;
}
