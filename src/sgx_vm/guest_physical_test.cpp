// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/guest_physical.hpp"

#include <gtest/gtest.h>

#include "memory/guest_atomic.hpp"
#include "memory/layout.hpp"
#include "sgx/configuration.hpp"
#include "support/system.hpp"

namespace alcove::sgx_vm {
namespace {

using memory::GuestAddress;

// All that devices have of a machine is this memory: so none of them, whatever its transport, reaches EPC.
TEST(GuestPhysical, NoWayIntoTheMemoryOfAMachineLeadsToItsEpc) {
    const auto regions = memory::layout::ram_regions(5_GiB);
    const auto file = sys::memfd("ram").value();
    sys::truncate(file, 5_GiB).value();
    const auto ram = memory::GuestMemory::create(file, regions).value();
    std::vector<memory::GuestRange> ranges;
    for (const auto& mapped : ram->mapped_regions())
        ranges.push_back(mapped.region.range);
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 2}, {.size_mib = 1, .base = GuestAddress(8_GiB)}};
    const auto sections =
        sgx::place_sections(configuration, ranges, memory::layout::device_ranges(), uint64_t{1} << 38)
            .value();
    ASSERT_EQ(sections.pages(), 768U);

    const GuestPhysical physical(ram);
    Bytes bytes(16, 1);
    for (uint32_t page = 0; page < sections.pages(); ++page) {
        const auto at = sections.address_of(sgx::PageIndex{page});
        ASSERT_FALSE(ram->read_bytes(at, bytes));
        ASSERT_FALSE(ram->write_bytes(at, bytes));
        ASSERT_FALSE(ram->fill_zero(at, 4_KiB));
        ASSERT_FALSE(ram->slice(at, 4_KiB));
        ASSERT_FALSE(ram->load_acquire_u16(at));
        ASSERT_FALSE(ram->store_release_u16(at, 1));
        ASSERT_FALSE(memory::compare_exchange_u64(*ram, at, ~uint64_t{0}, 1));
        ASSERT_FALSE(physical.is_ram_page(at));
        ASSERT_EQ(physical.entry(at), ~uint64_t{0});
    }
    // Nor across its beginning, from the RAM below it.
    const GuestAddress last(ranges.back().end() - 8);
    EXPECT_EQ(sections.ranges().front().base.value(), ranges.back().end());
    EXPECT_FALSE(ram->write_bytes(last, bytes));
    EXPECT_FALSE(ram->slice(last, bytes.size()));
}

}  // namespace
}  // namespace alcove::sgx_vm
