// SPDX-License-Identifier: Apache-2.0
#include "ne_client/enclave.hpp"

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace alcove::ne_client {

Result<Enclave> Enclave::create() {
    const Fd device(::open("/dev/nitro_enclaves", O_RDWR | O_CLOEXEC));
    if (!device.is_open()) return fail_errno(errno, "/dev/nitro_enclaves");
    uint64_t slot_uid = 0;
    Fd fd(::ioctl(device.get(), NE_CREATE_VM, &slot_uid));
    if (!fd.is_open()) return fail_errno(errno, "NE_CREATE_VM");
    return Enclave(std::move(fd), slot_uid);
}

int Enclave::control(unsigned long request, void* argument) const {
    return ::ioctl(fd_.get(), request, argument) == 0 ? 0 : errno;
}

int Enclave::add_vcpu(uint32_t& vcpu) {
    return control(NE_ADD_VCPU, &vcpu);
}

int Enclave::add_memory(const void* address, uint64_t size, uint64_t flags) {
    ne_user_memory_region region{
        .flags = flags, .memory_size = size, .userspace_addr = reinterpret_cast<uint64_t>(address)};
    return control(NE_SET_USER_MEMORY_REGION, &region);
}

int Enclave::image_offset(uint64_t flags, uint64_t& offset) {
    ne_image_load_info info{.flags = flags, .memory_offset = 0};
    const int result = control(NE_GET_IMAGE_LOAD_INFO, &info);
    offset = info.memory_offset;
    return result;
}

int Enclave::start(uint64_t flags, uint64_t& cid) {
    ne_enclave_start_info info{.flags = flags, .enclave_cid = cid};
    const int result = control(NE_START_ENCLAVE, &info);
    cid = info.enclave_cid;
    return result;
}

bool Enclave::wait_for_end(int milliseconds) {
    const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event wanted{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd_.get(), &wanted) != 0) return false;
    epoll_event event{};
    if (::epoll_wait(epoll.get(), &event, 1, milliseconds) != 1) return false;
    hung_up_ = event.events == EPOLLHUP;
    return true;
}

}  // namespace alcove::ne_client
