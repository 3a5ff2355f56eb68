// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/virtual_epc.hpp"

#include <cerrno>
#include <string>

namespace alcove::sgx_hardware {

namespace {

Failure kept(const std::string& what) {
    return fail(ErrorCode::Busy, "the host did not let go of all EPC: " + what);
}

}  // namespace

Result<VirtualEpc> VirtualEpc::create(HardwareCalls& calls, std::vector<Fd> devices,
                                      const std::vector<memory::GuestRange>& sections) {
    if (devices.size() != sections.size())
        return fail(ErrorCode::InvalidArgument, "EPC of the host needs a /dev/sgx_vepc for each section");
    std::vector<Mapping> mappings;
    for (size_t i = 0; i < devices.size(); ++i) {
        auto mapping = TRY(calls.map(devices[i], sections[i].size).context("/dev/sgx_vepc"));
        mappings.push_back(std::move(mapping));
    }
    VirtualEpc epc(calls, std::move(devices), std::move(mappings));
    TRY(epc.remove_all());
    for (const auto& mapping : epc.mappings_)
        TRY(calls.touch(mapping));
    return epc;
}

// The first time takes the pages of enclaves, of all sections; the SECS are without any then, and go the
// second time (Linux, Documentation/arch/x86/sgx.rst, "Virtual EPC").
Result<void> VirtualEpc::remove_all() const {
    const uint64_t parents = TRY(remove_once());
    if (parents == 0) return {};
    const uint64_t left = TRY(remove_once());
    if (left == 0) return {};
    return kept(std::to_string(left) + " SECS pages still have pages below them");
}

Result<uint64_t> VirtualEpc::remove_once() const {
    uint64_t left = 0;
    for (const auto& device : devices_) {
        auto stayed = calls_->remove_all(device);
        if (!stayed && stayed.error().errno_value() == EBUSY) return kept("a page of it is in use");
        if (!stayed) return stayed;
        left += *stayed;
    }
    return left;
}

}  // namespace alcove::sgx_hardware
