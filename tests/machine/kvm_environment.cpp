// SPDX-License-Identifier: Apache-2.0
//
// Keeps one empty VM for as long as the tests run. KVM patches the kernel's scheduler when the first VM comes
// and when the last one goes, and QEMU's TCG, on which these tests run, now and then executes the breakpoint
// that stands there meanwhile: the embedded host panics. With a VM always there nothing is patched.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <gtest/gtest.h>

#include "support/fd.hpp"
#include "support/system.hpp"

namespace alcove::tests {
namespace {

class KvmEnvironment : public testing::Environment {
  public:
    void SetUp() override {
        const auto device = sys::open("/dev/kvm", O_RDWR);
        ASSERT_TRUE(device) << device.error().to_string();
        vm_ = Fd(::ioctl(device->get(), KVM_CREATE_VM, 0UL));
        ASSERT_TRUE(vm_.is_open());
    }
    void TearDown() override { vm_.reset(); }

  private:
    Fd vm_;
};

const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new KvmEnvironment);

}  // namespace
}  // namespace alcove::tests
