// SPDX-License-Identifier: Apache-2.0
//
// Two unmodified kernels in two machines that are joined: streams between programs in them, both ways.
#include <algorithm>
#include <fstream>
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

constexpr uint64_t kStreams = 8;  // of fabric_init's floods

// What this process, both machines' VMM, has for itself: not the guests' RAM, not files.
uint64_t own_memory() {
    std::ifstream status("/proc/self/status");
    std::string word;
    uint64_t kib = 0;
    while (status >> word)
        if (word == "RssAnon:") status >> kib;
    return kib * 1_KiB;
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

    uint64_t held_in_primary = 0;
    uint64_t held_in_enclave = 0;
    uint64_t least = ~uint64_t{0};
    uint64_t most = 0;
    primary.held = [&](uint64_t bytes) {
        held_in_primary = std::max(held_in_primary, bytes);
        least = std::min(least, own_memory());
        most = std::max(most, own_memory());
    };
    enclave.held = [&](uint64_t bytes) { held_in_enclave = std::max(held_in_enclave, bytes); };

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
    EXPECT_THAT(text, HasSubstr("client: flood of 65536 ok"));
    EXPECT_THAT(text, HasSubstr("client: flood of 64 ok"));
    EXPECT_THAT(text, HasSubstr("client: storm ok"));
    EXPECT_THAT(text, HasSubstr("client: refused ok"));

    // Of each stream no more than a buffer of Linux's and what is on its way; the floods were several times
    // that.
    for (const auto held : {held_in_primary, held_in_enclave}) {
        EXPECT_GT(held, 0U);
        EXPECT_LE(held, kStreams * (256_KiB + 64_KiB));
    }
    EXPECT_LT(most - least, 16_MiB);
}

}  // namespace
}  // namespace alcove::tests
