// SPDX-License-Identifier: Apache-2.0
//
// Two unmodified kernels in two machines that are joined: streams between programs in them, both ways.
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/vcpu_thread.hpp"
#include "support/bits.hpp"
#include "support/guarded.hpp"
#include "tests/machine/joined_guest.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {
namespace {

using testing::HasSubstr;

// `fabric.cpio` serves streams, or with the word `client` moves bytes both ways through one to its enclave.
JoinedGuest guest(vsock::Cid cid, vsock::Cid peer, api::FabricEnd end, const std::string& words,
                  Guarded<std::string>& console) {
    return {.cid = cid,
            .peer = peer,
            .end = std::move(end),
            .kernel = find_test_file("debian-kernel").value(),
            .initrd = find_test_file("fabric.cpio").value(),
            .command_line = "reboot=k panic=30 console=ttyS0 quiet " + words +
                            (cid == vsock::Cid::Parent ? "" : " pci=off"),
            .memory_bytes = 256_MiB,
            .deadline = std::chrono::seconds(600),
            .console = [&console](uint8_t byte) {
                console.with([&](std::string& text) { text.push_back(static_cast<char>(byte)); });
            }};
}

TEST(Fabric, TwoKernelsTalkThroughIt) {
    ASSERT_TRUE(cpu::VcpuThread::install_kick_signal());
    auto pair = api::make_fabric_pair().value();
    Guarded<std::string> primary_console;
    Guarded<std::string> enclave_console;
    auto primary =
        guest(vsock::Cid::Parent, vsock::Cid{16}, std::move(pair.first), "client", primary_console);
    auto enclave =
        guest(vsock::Cid{16}, vsock::Cid::Parent, std::move(pair.second), "server", enclave_console);

    Result<void> enclave_ran;
    std::thread other([&] { enclave_ran = run_joined_guest(std::move(enclave)); });
    const auto primary_ran = run_joined_guest(std::move(primary));
    other.join();

    EXPECT_TRUE(primary_ran) << primary_ran.error().to_string();
    EXPECT_TRUE(enclave_ran) << enclave_ran.error().to_string();
    const auto text = primary_console.with([](std::string& console) { return console; }) +
                      enclave_console.with([](std::string& console) { return console; });
    EXPECT_THAT(text, HasSubstr("client: to-guest ok"));
    EXPECT_THAT(text, HasSubstr("client: from-guest ok"));
    EXPECT_THAT(text, HasSubstr("client: round-trip ok"));
    EXPECT_THAT(text, HasSubstr("client: refused ok"));
}

}  // namespace
}  // namespace alcove::tests
