// SPDX-License-Identifier: Apache-2.0
//
// The kernel's own driver.
#pragma once

#include "ne_driver/driver.hpp"

namespace alcove::ne_driver {

inline constexpr const char* kDevicePath = "/dev/nitro_enclaves";

class DeviceDriver final : public Driver {
  public:
    // NotFound when this machine has no such device: it is no primary VM, or its driver is not loaded.
    static Result<DeviceDriver> open(const char* path = kDevicePath);
    Result<std::unique_ptr<Enclave>> create_enclave() override;

  private:
    explicit DeviceDriver(Fd device) : device_(std::move(device)) {}
    Fd device_;
};

}  // namespace alcove::ne_driver
