// SPDX-License-Identifier: Apache-2.0
#include "cli/host_view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "daemon/api_json.hpp"
#include "support/bits.hpp"

namespace alcove::cli {
namespace {

TEST(HostView, TheLedgerIsATableByOwner) {
    daemon::HostView view;
    view.topology = host::describe_topology("core:2 pu:2").value();
    view.memory = {.total_bytes = 8_GiB, .available_bytes = 6_GiB, .swap_total_bytes = 0, .nodes = {}};
    view.account = {{.node = {0},
                     .lines = {{.owner = "host", .cores = {{0}}},
                               {.owner = "i-0-enc1",
                                .cores = {{2}},
                                .small_bytes = 512_MiB,
                                .epc_bytes = 8_MiB,
                                .hardware_epc_bytes = 64_MiB},
                               {.owner = "free", .cores = {}, .small_bytes = 4_GiB, .huge_bytes = 2_MiB}}}};
    view.broker_trouble = "no such file";

    const auto text = render_host(daemon::to_json(view));

    EXPECT_EQ(text,
              "cores         2\nmemory        8 GiB, 6 GiB available\nbroker        no such file\n"
              "shared cores  not possible: this kernel has no core scheduling\n\n"
              "NODE  OWNER     CORES  4K MEMORY  2M MEMORY  EPC    HOST EPC\n"
              "0     host      0      -          -          -      -\n"
              "0     i-0-enc1  2      512 MiB    -          8 MiB  64 MiB\n"
              "0     free      -      4 GiB      2 MiB      -      -\n");
    view.shared_policy_safe = true;
    EXPECT_NE(render_host(daemon::to_json(view)).find("shared cores  possible\n"), std::string::npos);
}

TEST(HostView, AnAnswerWithoutItsPartsIsShownAsFarAsItGoes) {
    EXPECT_NE(render_host(codec::json::Json::object()).find("cores"), std::string::npos);
    EXPECT_NE(render_host({{"ledger", {{{"node", 0}}}}}).find("NODE"), std::string::npos);
}

TEST(HostView, ACheckSaysWhatIsUsedAndWhy) {
    CheckReport report;
    report.capabilities.kvm.device_exists = host::Answer::Yes;
    report.capabilities.kvm.device_opens = host::Answer::Yes;
    report.capabilities.kvm.api_version = 12;
    report.capabilities.kvm.guest = {.ran = host::Answer::No,
                                     .failed_step = "shlx",
                                     .reason = "emulation failure",
                                     .timed_loop = {},
                                     .plain_exit = {}};
    report.vulnerabilities = {
        {.name = "mds", .text = "Vulnerable", .exposure = host::Exposure::Vulnerable},
        {.name = "l1tf", .text = "Not affected", .exposure = host::Exposure::NotAffected}};
    report.choice = "embedded";
    report.why = "this machine's KVM is not usable";

    const auto text = render_check(report);
    const auto json = check_json(report);

    EXPECT_NE(text.find("fails at shlx: emulation failure"), std::string::npos);
    EXPECT_NE(text.find("mds"), std::string::npos);
    EXPECT_EQ(text.find("l1tf"), std::string::npos);
    EXPECT_NE(text.find("Enclaves run on the embedded host: this machine's KVM is not usable"),
              std::string::npos);
    EXPECT_EQ(json["guest"]["ran"], "no");
    EXPECT_EQ(json["kvm"]["api_version"], 12);
    EXPECT_EQ(json["vulnerabilities"].size(), 2U);
    EXPECT_EQ(json["sgx"]["present"], false);
    EXPECT_NE(text.find("none in this processor"), std::string::npos);
}

TEST(HostView, ACheckShowsHugePagesOfAllNodesAndOfEach) {
    CheckReport report;
    report.memory = {.total_bytes = 8_GiB,
                     .available_bytes = 6_GiB,
                     .swap_total_bytes = 0,
                     .nodes = {{.node = {0}, .huge_2m = {.total_pages = 10, .free_pages = 3}},
                               {.node = {1}, .huge_2m = {.total_pages = 20, .free_pages = 4}}},
                     .transparent_2m = "within_size"};

    const auto json = check_json(report);

    EXPECT_NE(render_check(report).find(
                  "8 GiB, 6 GiB available; 2 MiB pages: 7 of 30 free; memory files: within_size\n"),
              std::string::npos);
    EXPECT_EQ(json["memory"]["nodes"], Json::parse(R"([{"node": 0, "huge_2m_total": 10, "huge_2m_free": 3},
                              {"node": 1, "huge_2m_total": 20, "huge_2m_free": 4}])"));
}

TEST(HostView, ACheckShowsTheSgxOfTheHost) {
    CheckReport report;
    report.sgx = {.present = true,
                  .sgx1 = true,
                  .sgx2 = true,
                  .launch_control = true,
                  .enclave_device = true,
                  .sections = {{.base = 1_GiB, .size = 64_MiB}, {.base = 2_GiB, .size = 64_MiB}}};

    EXPECT_NE(render_check(report).find("SGX1, SGX2, launch control writable, EPC 128 MiB in 2 section(s); "
                                        "/dev/sgx_enclave; no /dev/sgx_vepc"),
              std::string::npos);
    EXPECT_EQ(check_json(report)["sgx"]["sections"].size(), 2U);
    EXPECT_EQ(check_json(report)["sgx"]["virtual_epc_device"], false);
}

TEST(HostView, ACheckSaysWhatElseRunsOnCoresThatAreLent) {
    CheckReport report;
    EXPECT_NE(render_check(report).find("exclusive cores        not known"), std::string::npos);
    EXPECT_NE(
        render_check(report).find("tick on all CPUs; unbound threads on all CPUs; managed interrupts on all "
                                  "CPUs; interrupts come on CPUs not known"),
        std::string::npos);
    report.kernel_work = {.exclusive_cpusets = host::Answer::No,
                          .tickless = "2-5",
                          .isolated = "2-6",
                          .managed_irqs = "2-7",
                          .interrupts_on = "0-1"};

    EXPECT_NE(render_check(report).find("no: this kernel has no cpuset.cpus.exclusive"), std::string::npos);
    EXPECT_NE(
        render_check(report).find("tick on all CPUs but 2-5; unbound threads on all CPUs but 2-6; managed "
                                  "interrupts on all CPUs but 2-7; interrupts come on 0-1"),
        std::string::npos);
    EXPECT_EQ(check_json(report)["exclusive_cores"], "no");
    EXPECT_EQ(check_json(report)["kernel_work"]["isolated"], "2-6");
}

TEST(HostView, TheEmbeddedHostTellsItsState) {
    embedded::HostStatus status;
    EXPECT_NE(render_embedded(status, "/f").find("stopped"), std::string::npos);
    status.crashed = true;
    EXPECT_NE(render_embedded(status, "/f").find("crashed"), std::string::npos);
    status.running = true;
    status.memory_mib = 6144;
    EXPECT_NE(render_embedded(status, "/f").find("booting"), std::string::npos);
    status.answering = true;
    EXPECT_NE(render_embedded(status, "/f").find("6 GiB"), std::string::npos);
    EXPECT_EQ(embedded_json(status, "/f")["running"], true);
}

}  // namespace
}  // namespace alcove::cli
