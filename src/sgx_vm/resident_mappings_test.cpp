// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/resident_mappings.hpp"

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"
#include "sgx_vm/enclave_memory.hpp"
#include "sgx_vm/private_pages.hpp"
#include "sgx_vm/table_maker_test.hpp"

namespace alcove::sgx_vm {
namespace {

using sgx::Access;
using sgx::TestEnclave;

// Two vCPUs, one of which is in an enclave.
class ResidentMappingsTest : public testing::Test {
  protected:
    ResidentMappingsTest() {
        for (uint32_t page = 0; page < 7; ++page)
            tables_.map(enclave_.at(page),
                        machine_.engine().sections().address_of(enclave_.epc(page)).value(), kForRing3);
        EXPECT_EQ(maker_.enter(enclave_.tcs()), sgx::success());
        memory_.enter(cpu_.processor(), guest_, tables_.root());
        mappings_.add(memory_);
        mappings_.add(other_);
    }
    void touch(uint32_t page) {
        EXPECT_TRUE(memory_.fault(cpu_.processor(), guest_, enclave_.at(page), Access::Read).has_value());
    }
    bool is_mapped(uint32_t page) const { return memory_.tables().find(enclave_.at(page)).has_value(); }

    sgx::FakeMachine machine_;
    sgx::FakeCpu cpu_{machine_, 0};
    sgx::EnclaveMaker maker_{cpu_};
    TestEnclave enclave_ = TestEnclave::make(maker_);
    std::shared_ptr<const memory::GuestMemory> ram_{std::shared_ptr<void>(), &machine_.ram()};
    GuestPhysical physical_{ram_};
    TableMaker tables_{*ram_, 3_MiB};
    GuestPageTables guest_{physical_, {.cr3 = tables_.root()}};
    PrivatePages pages_ = PrivatePages::create(memory::GuestAddress(0x10'0000'0000), 2).value();
    EnclaveMemory memory_{pages_.make_tables(0), machine_.engine(), memory::GuestAddress(0x20'0000'0000)};
    EnclaveMemory other_{pages_.make_tables(1), machine_.engine(), memory::GuestAddress(0x20'0000'0000)};
    ResidentMappings mappings_;
};

TEST_F(ResidentMappingsTest, APageThatNobodyHasMayLeave) {
    EXPECT_FALSE(mappings_.was_accessed(enclave_.epc(2)));
    EXPECT_TRUE(mappings_.unmap(enclave_.epc(2)));
}

TEST_F(ResidentMappingsTest, APageStaysWhileItsVcpuIsInside) {
    touch(2);
    touch(3);
    const uint64_t root = memory_.resume();
    EXPECT_FALSE(mappings_.unmap(enclave_.epc(2)));
    EXPECT_TRUE(is_mapped(2));
    memory_.pause();

    EXPECT_TRUE(mappings_.unmap(enclave_.epc(2)));

    EXPECT_FALSE(is_mapped(2));
    EXPECT_TRUE(is_mapped(3));
    EXPECT_NE(memory_.resume(), root) << "so that the processor forgets it";
    EXPECT_FALSE(mappings_.unmap(enclave_.epc(3)));
}

TEST_F(ResidentMappingsTest, RootsStayWhileNothingLeaves) {
    touch(2);
    const uint64_t root = memory_.resume();
    memory_.pause();

    EXPECT_EQ(memory_.resume(), root);
}

TEST_F(ResidentMappingsTest, APageThatLeftComesBackWhenItIsTouched) {
    touch(2);
    EXPECT_TRUE(mappings_.unmap(enclave_.epc(2)));

    touch(2);

    EXPECT_TRUE(is_mapped(2));
}

TEST_F(ResidentMappingsTest, UseIsSeenOnce) {
    touch(2);

    EXPECT_TRUE(mappings_.was_accessed(enclave_.epc(2)));
    EXPECT_FALSE(mappings_.was_accessed(enclave_.epc(2)));
    EXPECT_FALSE(mappings_.was_accessed(enclave_.epc(3)));
}

}  // namespace
}  // namespace alcove::sgx_vm
