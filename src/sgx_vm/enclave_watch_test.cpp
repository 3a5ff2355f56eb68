// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/enclave_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::sgx_vm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EnclaveWatchTest : public testing::Test {
  protected:
    EnclaveWatchTest() {
        watch_.start([this] { ++asked_; }, [this](uint32_t vcpu) { kicked_.push_back(vcpu); });
    }
    int asked_ = 0;
    std::vector<uint32_t> kicked_;
    EnclaveWatch watch_{3};
};

TEST_F(EnclaveWatchTest, TheFirstWhoEntersAsksForALook) {
    watch_.entered(1);
    watch_.left(1);
    watch_.entered(2);

    EXPECT_EQ(asked_, 1);
}

TEST_F(EnclaveWatchTest, WhoIsInsideIsKickedAgainAndAgain) {
    watch_.entered(0);
    watch_.entered(2);

    EXPECT_TRUE(watch_.look());
    EXPECT_THAT(kicked_, ElementsAre(0U, 2U));
    watch_.left(0);
    EXPECT_TRUE(watch_.look());
    EXPECT_THAT(kicked_, ElementsAre(0U, 2U, 2U));
}

TEST_F(EnclaveWatchTest, NobodyIsWatchedWhenAllAreOutUntilTheNextEnters) {
    watch_.entered(1);
    watch_.left(1);

    EXPECT_FALSE(watch_.look());
    EXPECT_THAT(kicked_, IsEmpty());
    watch_.entered(1);
    EXPECT_EQ(asked_, 2);
}

TEST(EnclaveWatch, WithoutAStartEntriesAskForNothing) {
    EnclaveWatch watch(1);

    watch.entered(0);
    watch.left(0);
}

}  // namespace
}  // namespace alcove::sgx_vm
