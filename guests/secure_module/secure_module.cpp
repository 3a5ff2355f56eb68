// SPDX-License-Identifier: Apache-2.0
#include "secure_module/secure_module.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "support/system.hpp"

namespace alcove::secure_module {

namespace {

constexpr char kDevicePath[] = "/dev/nsm";

// Linux 6.12, include/uapi/linux/nsm.h. Here because Debian 12's headers are older than the driver.
struct RawRequest {
    iovec request;   //  0
    iovec response;  // 16
};
static_assert(sizeof(RawRequest) == 32);
constexpr unsigned long kRawIoctl = _IOWR(0x0a, 0, RawRequest);
constexpr size_t kLongestResponse = 0x3000;

}  // namespace

Result<KernelSecureModule> KernelSecureModule::open() {
    Fd device = TRY(sys::open(kDevicePath, O_RDWR));
    return KernelSecureModule(std::move(device));
}

Result<Bytes> KernelSecureModule::ask(ByteView request) {
    Bytes copy = to_bytes(request);
    Bytes response(kLongestResponse);
    RawRequest raw{
        .request = {.iov_base = copy.data(), .iov_len = copy.size()},
        .response = {.iov_base = response.data(), .iov_len = response.size()},
    };
    if (ioctl(device_.get(), kRawIoctl, &raw) != 0) return fail_errno(errno, kDevicePath);
    // The driver says here how much it has filled in.
    response.resize(std::min(raw.response.iov_len, response.size()));
    return response;
}

}  // namespace alcove::secure_module
