// SPDX-License-Identifier: Apache-2.0
#include "ne_driver/device_driver.hpp"

#include <cerrno>

#include <fcntl.h>
#include <linux/nitro_enclaves.h>
#include <sys/ioctl.h>

#include "support/system.hpp"

namespace alcove::ne_driver {

namespace {

class DeviceEnclave final : public Enclave {
  public:
    DeviceEnclave(Fd fd, uint64_t slot_uid) : fd_(std::move(fd)), slot_uid_(slot_uid) {}

    uint64_t slot_uid() const override { return slot_uid_; }
    const Fd& fd() const override { return fd_; }

    Result<uint64_t> image_offset() override {
        ne_image_load_info info{.flags = NE_EIF_IMAGE, .memory_offset = 0};
        TRY(control("NE_GET_IMAGE_LOAD_INFO", NE_GET_IMAGE_LOAD_INFO, info));
        return info.memory_offset;
    }
    Result<void> add_memory(MutableByteView region) override {
        ne_user_memory_region memory{.flags = NE_DEFAULT_MEMORY_REGION,
                                     .memory_size = region.size(),
                                     .userspace_addr = reinterpret_cast<uint64_t>(region.data())};
        return control("NE_SET_USER_MEMORY_REGION", NE_SET_USER_MEMORY_REGION, memory);
    }
    Result<uint32_t> add_vcpu(uint32_t id) override {
        TRY(control("NE_ADD_VCPU", NE_ADD_VCPU, id));
        return id;
    }
    Result<uint64_t> start(Mode mode, uint64_t cid) override {
        const uint64_t flags = mode == Mode::Debug ? NE_ENCLAVE_DEBUG_MODE : NE_ENCLAVE_PRODUCTION_MODE;
        ne_enclave_start_info info{.flags = flags, .enclave_cid = cid};
        TRY(control("NE_START_ENCLAVE", NE_START_ENCLAVE, info));
        return info.enclave_cid;
    }

  private:
    template <typename Argument>
    Result<void> control(const char* name, unsigned long request, Argument& argument) {
        if (::ioctl(fd_.get(), request, &argument) < 0) return refusal(name, errno);
        return {};
    }

    Fd fd_;
    uint64_t slot_uid_;
};

}  // namespace

Result<DeviceDriver> DeviceDriver::open(const char* path) {
    auto device = TRY(sys::open(path, O_RDWR));
    return DeviceDriver(std::move(device));
}

Result<std::unique_ptr<Enclave>> DeviceDriver::create_enclave() {
    uint64_t slot_uid = 0;
    // The kernel makes it close-on-exec.
    Fd fd(::ioctl(device_.get(), NE_CREATE_VM, &slot_uid));
    if (!fd.is_open()) return refusal("NE_CREATE_VM", errno);
    return std::unique_ptr<Enclave>(std::make_unique<DeviceEnclave>(std::move(fd), slot_uid));
}

}  // namespace alcove::ne_driver
