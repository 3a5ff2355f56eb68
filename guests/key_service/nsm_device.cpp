// SPDX-License-Identifier: Apache-2.0
#include "key_service/nsm_device.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "key_service/nsm_codec.hpp"
#include "support/system.hpp"

namespace alcove::key_service {

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

Result<NsmDevice> NsmDevice::open() {
    Fd device = TRY(sys::open(kDevicePath, O_RDWR));
    return NsmDevice(std::move(device));
}

Result<Bytes> NsmDevice::attest(ByteView public_key, ByteView nonce) {
    Bytes request = encode_attestation_request(public_key, nonce);
    Bytes response(kLongestResponse);
    RawRequest raw{
        .request = {.iov_base = request.data(), .iov_len = request.size()},
        .response = {.iov_base = response.data(), .iov_len = response.size()},
    };
    if (ioctl(device_.get(), kRawIoctl, &raw) != 0) return fail_errno(errno, kDevicePath);
    // The driver says here how much it has filled in.
    response.resize(std::min(raw.response.iov_len, response.size()));
    return decode_attestation_reply(response);
}

}  // namespace alcove::key_service
