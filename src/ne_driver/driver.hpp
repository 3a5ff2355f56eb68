// SPDX-License-Identifier: Apache-2.0
//
// /dev/nitro_enclaves as the program sees it that takes an enclave out of its own machine: the ioctls of
// <linux/nitro_enclaves.h> as calls (nitro.md 2.1). The kernel's driver stands behind it
// (device_driver.hpp), or, in tests, a fake that plays the driver's rules (driver_fake.hpp).
//
// Errors carry the errno; the driver's own ones (256 to 275) also their names and what they mean.
#pragma once

#include <cstdint>
#include <memory>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::ne_driver {

enum class Mode { Production, Debug };

// One enclave from NE_CREATE_VM on. Going away frees it: the driver stops what runs, and memory and vCPUs are
// this machine's again when the destructor returns.
class Enclave {
  public:
    virtual ~Enclave() = default;

    virtual uint64_t slot_uid() const = 0;
    // Where in its memory, all regions in a row, the image has to lie before it is added. Bytes.
    virtual Result<uint64_t> image_offset() = 0;
    // Whole huge pages. They stay mapped, but from here on what they hold is the enclave's.
    virtual Result<void> add_memory(MutableByteView region) = 0;
    // 0: the driver chooses. Gives the id.
    virtual Result<uint32_t> add_vcpu(uint32_t id) = 0;
    // 0: the hypervisor chooses. Gives the context id.
    virtual Result<uint64_t> start(Mode mode, uint64_t cid) = 0;
    // EPOLLHUP once the enclave has ended by itself; nothing else ever comes of it.
    virtual const Fd& fd() const = 0;
};

class Driver {
  public:
    virtual ~Driver() = default;
    virtual Result<std::unique_ptr<Enclave>> create_enclave() = 0;
};

// What the driver's refusal of an ioctl means. `request` is the ioctl's name.
Failure refusal(const char* request, int errno_value);

}  // namespace alcove::ne_driver
