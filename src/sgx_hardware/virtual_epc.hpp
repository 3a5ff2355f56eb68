// SPDX-License-Identifier: Apache-2.0
//
// The EPC of one VM, out of the host's: for each section a descriptor of /dev/sgx_vepc and its mapping, all
// of it there. Closing the descriptors gives the pages back to the host, whatever is in them.
#pragma once

#include <vector>

#include "memory/guest_address.hpp"
#include "sgx_hardware/hardware_calls.hpp"

namespace alcove::sgx_hardware {

class VirtualEpc {
  public:
    // A device for each section, opened for this VM alone. What a former life of its left in them is lost.
    // `calls` outlives this. Errors: NoFreeEpc, Busy as of remove_all(), and those of the calls.
    static Result<VirtualEpc> create(HardwareCalls& calls, std::vector<Fd> devices,
                                     const std::vector<memory::GuestRange>& sections);

    // Every page is free again, as after a reset. No vCPU runs. ErrorCode::Busy when some had to stay: then
    // enclaves that are gone hold them, and they come back to the host when the VM has ended.
    Result<void> remove_all() const;

    const std::vector<Mapping>& mappings() const { return mappings_; }  // in the order of the sections

  private:
    VirtualEpc(HardwareCalls& calls, std::vector<Fd> devices, std::vector<Mapping> mappings)
        : calls_(&calls), devices_(std::move(devices)), mappings_(std::move(mappings)) {}

    Result<uint64_t> remove_once() const;

    HardwareCalls* calls_;
    std::vector<Fd> devices_;
    std::vector<Mapping> mappings_;
};

}  // namespace alcove::sgx_hardware
