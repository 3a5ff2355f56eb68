// SPDX-License-Identifier: Apache-2.0
//
// What is known of a primary VM before it says anything: its RAM, its cores, and how much it may make of
// them. alcoved fills one from its own record of the VM it launched; a primary's VMM from the orders it was
// given. The rules are judged against this and never against what a primary claims.
#pragma once

#include <cstdint>
#include <vector>

#include "api/ne_messages.hpp"
#include "memory/guest_address.hpp"
#include "ne/ids.hpp"
#include "ne/spec.hpp"
#include "support/result.hpp"

namespace alcove::ne {

struct Parent {
    // KVM has 32764 memory slots for user space (x86: KVM_MEM_SLOTS_NUM less its own), and each piece of RAM
    // that is left between carved regions, or comes back between them, takes one. The rest is for devices.
    static constexpr uint64_t kMaxRamPieces = 32'000;

    std::vector<memory::GuestRange> ram;  // ascending, apart from one another
    uint64_t backing_page = 4096;         // bytes, of the host memory behind it; a power of two
    std::vector<uint32_t> core_of_vcpu;   // by VcpuId: any number that the threads of one core share
    uint32_t max_slots = api::ne::kMaxEnclaves;
    uint64_t max_ram_pieces = kMaxRamPieces;
    uint64_t min_enclave_memory = MIN_ENCLAVE_MEM_SIZE;

    uint64_t ram_bytes() const;
    bool has_vcpu(uint64_t id) const { return id < core_of_vcpu.size(); }
    uint32_t core(VcpuId id) const { return core_of_vcpu[number(id)]; }
    // What memory regions must be multiples of: the driver's granule, or the backing page if that is more.
    uint64_t granule() const;
    // One region for each granule of RAM. Regions do not overlap, so this never refuses what memory there is:
    // even a driver that sends each 2 MiB page by itself can give all. Large on purpose (the driver counts
    // against it before it sends anything); what really runs short is kMaxRamPieces. The cost is some 12 MiB
    // of records for a primary of 512 GiB given away page by page.
    uint64_t max_regions() const { return ram_bytes() / granule(); }

    // ErrorCode::InvalidArgument for what no primary is.
    Result<void> check() const;
};

}  // namespace alcove::ne
