// SPDX-License-Identifier: Apache-2.0
//
// One enclave of /dev/nitro_enclaves: each ioctl by its name. Results are 0 or an errno, which is what a test
// of refusals wants to see; the driver's own codes (NE_ERR_*) are errnos too.
#pragma once

#include <cstdint>

#include <linux/nitro_enclaves.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::ne_client {

// What NE_GET_IMAGE_LOAD_INFO answers (drivers/virt/nitro_enclaves/ne_misc_dev.h, NE_EIF_LOAD_OFFSET).
inline constexpr uint64_t kImageOffset = 8 << 20;

class Enclave {
  public:
    static Result<Enclave> create();

    // `vcpu` 0: the driver chooses, and says which.
    int add_vcpu(uint32_t& vcpu);
    int add_memory(const void* address, uint64_t size, uint64_t flags = NE_DEFAULT_MEMORY_REGION);
    int image_offset(uint64_t flags, uint64_t& offset);
    // `cid` 0: the device chooses, and says which.
    int start(uint64_t flags, uint64_t& cid);

    // Whether it has ended by itself within the time.
    bool wait_for_end(int milliseconds);
    // True when the event is EPOLLHUP and nothing else.
    bool has_hung_up() const { return hung_up_; }
    uint64_t slot_uid() const { return slot_uid_; }
    void close() { fd_.reset(); }

  private:
    Enclave(Fd fd, uint64_t slot_uid) : fd_(std::move(fd)), slot_uid_(slot_uid) {}
    int control(unsigned long request, void* argument) const;

    Fd fd_;
    uint64_t slot_uid_;
    bool hung_up_ = false;
};

}  // namespace alcove::ne_client
