// SPDX-License-Identifier: Apache-2.0
#include "cli/host_view.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/table.hpp"
#include "cli/tree.hpp"
#include "host/sgx_json.hpp"
#include "support/bits.hpp"

namespace alcove::cli {

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string number_list(const Json& numbers) {
    std::string text;
    for (const auto& number : numbers)
        text += (text.empty() ? "" : ",") + codec::json::dump(number);
    return text.empty() ? "-" : text;
}

uint64_t number_at(const Json& tree, const std::string& path) {
    const auto part = find_part(tree, path);
    return part && (*part)->is_number_unsigned() ? (*part)->get<uint64_t>() : 0;
}

std::string memory_text(uint64_t bytes) {
    return bytes == 0 ? "-" : size_text(bytes);
}

std::string yes_no(host::Answer answer) {
    switch (answer) {
        case host::Answer::Yes:
            return "yes";
        case host::Answer::No:
            return "no";
        case host::Answer::NotTried:
            break;
    }
    return "not tried";
}

std::string duration_text(const std::optional<std::chrono::nanoseconds>& time) {
    if (!time) return "-";
    return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(*time).count()) + " us";
}

std::string device_text(const host::KvmCapabilities& kvm) {
    if (kvm.device_exists != host::Answer::Yes)
        return "missing: virtualization is off, or its module is not loaded";
    if (kvm.device_opens != host::Answer::Yes) return "does not open: " + kvm.open_error;
    return "opens, API " + std::to_string(kvm.api_version.value_or(0)) + ", up to " +
           std::to_string(kvm.max_vcpus) + " vCPUs";
}

std::string guest_text(const host::GuestTrial& guest) {
    if (guest.ran == host::Answer::Yes)
        return "runs; a timed loop took " + duration_text(guest.timed_loop) + ", an exit " +
               duration_text(guest.plain_exit);
    if (guest.ran == host::Answer::NotTried)
        return "not tried" + (guest.reason.empty() ? "" : ": " + guest.reason);
    return "fails" + (guest.failed_step.empty() ? "" : " at " + guest.failed_step) + ": " + guest.reason;
}

// "0,2 1,3": the threads of each core together.
std::string siblings_text(const host::Topology& topology) {
    std::string text;
    for (const auto& core : topology.cores) {
        text += text.empty() ? "" : " ";
        for (const auto& cpu : core.cpus)
            text += (&cpu == &core.cpus.front() ? "" : ",") + std::to_string(cpu.value);
    }
    return text;
}

Json siblings_json(const host::Topology& topology) {
    Json cores = Json::array();
    for (const auto& core : topology.cores) {
        Json cpus = Json::array();
        for (const auto& cpu : core.cpus)
            cpus.push_back(cpu.value);
        cores.push_back(std::move(cpus));
    }
    return cores;
}

std::string memory_line(const host::HostMemory& memory) {
    uint64_t total_pages = 0;
    uint64_t free_pages = 0;
    for (const auto& node : memory.nodes) {
        total_pages += node.huge_2m.total_pages;
        free_pages += node.huge_2m.free_pages;
    }
    return size_text(memory.total_bytes) + ", " + size_text(memory.available_bytes) +
           " available; 2 MiB pages: " + std::to_string(free_pages) + " of " + std::to_string(total_pages) +
           " free; memory files: " + (memory.transparent_2m.empty() ? "never" : memory.transparent_2m);
}

std::string exclusive_text(host::Answer answer) {
    if (answer == host::Answer::No)
        return "no: this kernel has no cpuset.cpus.exclusive (Linux has it since 6.7)";
    return answer == host::Answer::Yes ? "yes" : "not known: no control group has a cpuset yet";
}

// What a VM's own cores have to do beside it: docs/install.md says how each is turned off.
std::string kernel_work_text(const host::KernelWork& work) {
    const auto except = [](const std::string& cpus) {
        return cpus.empty() ? std::string(" on all CPUs") : " on all CPUs but " + cpus;
    };
    return "tick" + except(work.tickless) + "; unbound threads" + except(work.isolated) +
           "; managed interrupts" + except(work.managed_irqs) + "; interrupts come on " +
           (work.interrupts_on.empty() ? "CPUs not known" : work.interrupts_on);
}

std::string sgx_line(const host::SgxHardware& sgx) {
    if (!sgx.present) return "none in this processor (VMs can have it in software)";
    uint64_t epc = 0;
    for (const auto& section : sgx.sections)
        epc += section.size;
    std::string text = sgx.sgx2 ? "SGX1, SGX2" : sgx.sgx1 ? "SGX1" : "turned off by firmware";
    text += std::string(", launch control ") + (sgx.launch_control ? "writable" : "locked") + ", EPC " +
            size_text(epc) + " in " + std::to_string(sgx.sections.size()) + " section(s)";
    for (const auto& [path, exists] : {std::pair("/dev/sgx_enclave", sgx.enclave_device),
                                       std::pair("/dev/sgx_vepc", sgx.virtual_epc_device)})
        text += std::string("; ") + (exists ? "" : "no ") + path;
    return text;
}

}  // namespace

std::string render_host(const Json& host) {
    std::vector<std::pair<std::string, std::string>> fields;
    const auto cores = find_part(host, "topology.cores");
    fields.emplace_back("cores", std::to_string(cores ? (*cores)->size() : 0));
    fields.emplace_back("memory", size_text(number_at(host, "memory.total_bytes")) + ", " +
                                      size_text(number_at(host, "memory.available_bytes")) + " available");
    const auto trouble = find_part(host, "broker.trouble");
    fields.emplace_back("broker", trouble && (*trouble)->is_string()
                                      ? one_line((*trouble)->get<std::string>())
                                      : "connected");
    if (const auto possible = find_part(host, "shared_policy"))
        fields.emplace_back("shared cores", **possible == true
                                                ? "possible"
                                                : "not possible: this kernel has no core scheduling");
    Rows rows = {{"NODE", "OWNER", "CORES", "4K MEMORY", "2M MEMORY", "EPC", "HOST EPC"}};
    const auto ledger = find_part(host, "ledger");
    for (const auto& account : ledger ? **ledger : Json::array()) {
        const auto owners = codec::json::array_field(account, "owners");
        for (const auto& line : owners ? **owners : Json::array()) {
            const auto owner = codec::json::text_field(line, "owner");
            const auto held = codec::json::array_field(line, "cores");
            rows.push_back({std::to_string(number_at(account, "node")), owner ? *owner : "?",
                            held ? number_list(**held) : "-", memory_text(number_at(line, "memory_4k_bytes")),
                            memory_text(number_at(line, "memory_2m_bytes")),
                            memory_text(number_at(line, "epc_bytes")),
                            memory_text(number_at(line, "hardware_epc_bytes"))});
        }
    }
    return render_fields(fields) + "\n" + render_table(rows);
}

std::string render_embedded(const embedded::HostStatus& status, const std::string& folder) {
    std::vector<std::pair<std::string, std::string>> fields;
    const char* state = status.answering ? "running"
                        : status.running ? "booting"
                        : status.crashed ? "crashed"
                                         : "stopped";
    fields.emplace_back("embedded host", state);
    if (status.running) {
        fields.emplace_back("process", std::to_string(status.pid));
        fields.emplace_back("up", elapsed_text(status.uptime));
        fields.emplace_back("memory", size_text(status.memory_mib * 1_MiB) + ", " +
                                          size_text(status.resident_mib * 1_MiB) + " of it in use here");
        fields.emplace_back("available inside", size_text(status.available_mib * 1_MiB));
        if (status.outdated)
            fields.emplace_back("build", "another than this one: replaced when no VM runs in it");
    }
    fields.emplace_back("folder", folder);
    return render_fields(fields);
}

Json embedded_json(const embedded::HostStatus& status, const std::string& folder) {
    Json images = Json::array();
    for (const auto& image : status.images)
        images.push_back(image);
    return {{"running", status.running},
            {"answering", status.answering},
            {"crashed", status.crashed},
            {"outdated", status.outdated},
            {"pid", status.pid},
            {"uptime_seconds", status.uptime.count()},
            {"memory_mib", status.memory_mib},
            {"resident_mib", status.resident_mib},
            {"available_mib", status.available_mib},
            {"images", std::move(images)},
            {"folder", folder}};
}

std::string render_check(const CheckReport& report) {
    const auto& kvm = report.capabilities.kvm;
    std::vector<std::pair<std::string, std::string>> fields;
    fields.emplace_back("CPU virtualization", yes_no(kvm.hardware_assisted));
    fields.emplace_back("/dev/kvm", device_text(kvm));
    fields.emplace_back("ordinary guest", guest_text(kvm.guest));
    fields.emplace_back("second view (SMM)", yes_no(kvm.second_view));
    fields.emplace_back("irqfd, ioeventfd", yes_no(kvm.irqfd) + ", " + yes_no(kvm.ioeventfd));
    if (report.topology) {
        fields.emplace_back("cores", std::to_string(report.topology->cores.size()) + ", " +
                                         std::to_string(report.topology->cpu_count()) + " CPUs, SMT " +
                                         (report.topology->has_smt() ? "on" : "off") + ", " +
                                         std::to_string(report.topology->nodes.size()) + " NUMA node(s)");
        if (report.topology->has_smt()) fields.emplace_back("siblings", siblings_text(*report.topology));
    }
    if (report.memory) fields.emplace_back("memory", memory_line(*report.memory));
    fields.emplace_back("core scheduling", yes_no(report.capabilities.core_scheduling));
    fields.emplace_back("exclusive cores", exclusive_text(report.kernel_work.exclusive_cpusets));
    fields.emplace_back("the kernel's own work", kernel_work_text(report.kernel_work));
    fields.emplace_back("SGX", sgx_line(report.sgx));
    fields.emplace_back("alcoved", report.daemon_answers ? "answers" : "does not answer");
    std::string text = render_fields(fields);
    Rows rows = {{"WEAKNESS", "STATE", "THE KERNEL SAYS"}};
    for (const auto& one : report.vulnerabilities)
        if (one.exposure != host::Exposure::NotAffected)
            rows.push_back({one.name, std::string(host::to_string(one.exposure)), one.text});
    if (rows.size() > 1) text += "\n" + render_table(rows);
    return text + "\nEnclaves run on the " + (report.choice == "local" ? "local host: " : "embedded host: ") +
           report.why + "\n";
}

Json check_json(const CheckReport& report) {
    const auto& kvm = report.capabilities.kvm;
    const auto time_json = [](const std::optional<std::chrono::nanoseconds>& time) {
        return time ? Json(time->count()) : Json(nullptr);
    };
    Json json;
    json["host"] = report.choice;
    json["why"] = report.why;
    json["kvm"] = {{"hardware_assisted", yes_no(kvm.hardware_assisted)},
                   {"device_exists", yes_no(kvm.device_exists)},
                   {"device_opens", yes_no(kvm.device_opens)},
                   {"open_error", kvm.open_error},
                   {"api_version", kvm.api_version ? Json(*kvm.api_version) : Json(nullptr)},
                   {"max_vcpus", kvm.max_vcpus},
                   {"second_view", yes_no(kvm.second_view)},
                   {"immediate_exit", yes_no(kvm.immediate_exit)},
                   {"irqfd", yes_no(kvm.irqfd)},
                   {"ioeventfd", yes_no(kvm.ioeventfd)}};
    json["guest"] = {{"ran", yes_no(kvm.guest.ran)},
                     {"failed_step", kvm.guest.failed_step},
                     {"reason", kvm.guest.reason},
                     {"timed_loop_ns", time_json(kvm.guest.timed_loop)},
                     {"plain_exit_ns", time_json(kvm.guest.plain_exit)}};
    if (report.topology)
        json["cores"] = {{"count", report.topology->cores.size()},
                         {"cpus", report.topology->cpu_count()},
                         {"smt", report.topology->has_smt()},
                         {"siblings", siblings_json(*report.topology)},
                         {"numa_nodes", report.topology->nodes.size()}};
    if (report.memory) {
        Json nodes = Json::array();
        for (const auto& node : report.memory->nodes)
            nodes.push_back({{"node", node.node.value},
                             {"huge_2m_total", node.huge_2m.total_pages},
                             {"huge_2m_free", node.huge_2m.free_pages}});
        json["memory"] = {{"total_bytes", report.memory->total_bytes},
                          {"available_bytes", report.memory->available_bytes},
                          {"transparent_2m", report.memory->transparent_2m},
                          {"nodes", std::move(nodes)}};
    }
    json["core_scheduling"] = yes_no(report.capabilities.core_scheduling);
    json["exclusive_cores"] = yes_no(report.kernel_work.exclusive_cpusets);
    json["kernel_work"] = {{"tickless", report.kernel_work.tickless},
                           {"isolated", report.kernel_work.isolated},
                           {"managed_irqs", report.kernel_work.managed_irqs},
                           {"interrupts_on", report.kernel_work.interrupts_on}};
    json["sgx"] = host::to_json(report.sgx);
    json["daemon"] = report.daemon_answers;
    json["vulnerabilities"] = Json::array();
    for (const auto& one : report.vulnerabilities)
        json["vulnerabilities"].push_back({{"name", one.name},
                                           {"exposure", std::string(host::to_string(one.exposure))},
                                           {"text", one.text}});
    return json;
}

}  // namespace alcove::cli
