// SPDX-License-Identifier: Apache-2.0
//
// alcove-broker: the one process of Alcove's that is root. It does for alcoved what only root can do
// (broker/README.md), and may be restarted at any time: VMs run on.
#include <csignal>
#include <cstdio>
#include <map>
#include <optional>

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/attestor_door.hpp"
#include "broker/broker.hpp"
#include "broker/process_setup.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;

constexpr const char* kUsage =
    "usage: alcove-broker [options]\n"
    "  --run-dir DIR          sockets and VM folders (/run/alcove)\n"
    "  --cgroup-root DIR      cgroup v2 group to make `alcove` in (/sys/fs/cgroup)\n"
    "  --libexec-dir DIR      where alcove-shim and alcove-vmm are (/usr/libexec/alcove)\n"
    "  --attestor-socket FILE alcove-attestor's socket (<run-dir>/attestor.sock)\n"
    "  --attestor-shim-socket FILE  its socket for shims (shims/attestor.sock in the same directory)\n"
    "  --daemon-user NAME     whom to serve (alcove)\n"
    "  --shim-user NAME       user of the shims (alcove-shim)\n"
    "  --group NAME           group that may use the VMs' folders (alcove)\n"
    "  --vmm-sees DIR         a directory that VMMs see, read-only, beside the libraries (repeatable)\n";

struct Settings {
    std::string run_dir = "/run/alcove";
    std::string cgroup_root = "/sys/fs/cgroup";
    std::string libexec_dir = "/usr/libexec/alcove";
    std::string attestor_socket;
    std::string attestor_shim_socket;
    std::string daemon_user = "alcove";
    std::string shim_user = "alcove-shim";
    std::string group = "alcove";
    std::vector<std::string> vmm_sees;
};

// Nothing when the arguments are not understood.
std::optional<Settings> parse(int argc, char** argv) {
    Settings settings;
    const std::map<std::string, std::string*> options = {
        {"--run-dir", &settings.run_dir},
        {"--cgroup-root", &settings.cgroup_root},
        {"--libexec-dir", &settings.libexec_dir},
        {"--attestor-socket", &settings.attestor_socket},
        {"--attestor-shim-socket", &settings.attestor_shim_socket},
        {"--daemon-user", &settings.daemon_user},
        {"--shim-user", &settings.shim_user},
        {"--group", &settings.group},
        {"--vmm-sees", nullptr}};
    for (int i = 1; i < argc; i += 2) {
        const auto option = options.find(argv[i]);
        if (option == options.end() || i + 1 == argc) return std::nullopt;
        if (option->second == nullptr) settings.vmm_sees.emplace_back(argv[i + 1]);
        if (option->second != nullptr) *option->second = argv[i + 1];
    }
    if (settings.attestor_socket.empty()) settings.attestor_socket = settings.run_dir + "/attestor.sock";
    if (settings.attestor_shim_socket.empty())
        settings.attestor_shim_socket =
            settings.attestor_socket.substr(0, settings.attestor_socket.rfind('/')) + "/shims/attestor.sock";
    return settings;
}

Result<passwd> user_named(const std::string& name) {
    const passwd* const user = ::getpwnam(name.c_str());
    if (user == nullptr) return fail(ErrorCode::MissingDependency, "there is no user " + name);
    return *user;
}

Result<api::CpuMask> siblings_of(uint32_t cpu) {
    const std::string file =
        "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list";
    const auto list = TRY(sys::read_file(file, 4096));
    return api::CpuMask::parse_list(as_text(list));
}

// As vmm/vcpu_places.hpp reads it.
std::string host_cores() {
    std::string text;
    for (uint32_t cpu = 0; cpu < api::kMaxHostCpus; ++cpu) {
        const auto siblings = siblings_of(cpu);
        if (!siblings || siblings->count() < 2) continue;
        bool is_first = true;
        for (uint32_t below = 0; below < cpu; ++below)
            is_first = is_first && !siblings->has(below);
        if (is_first) text += (text.empty() ? "" : "/") + siblings->to_list();
    }
    return text;
}

Result<void> run(const Settings& settings) {
    const auto daemon = TRY(user_named(settings.daemon_user));
    const auto shim = TRY(user_named(settings.shim_user));
    const group* const found = ::getgrnam(settings.group.c_str());
    if (found == nullptr) return fail(ErrorCode::MissingDependency, "there is no group " + settings.group);
    const gid_t group = found->gr_gid;

    if (!settings.attestor_shim_socket.starts_with('/') || settings.attestor_shim_socket.size() > 107)
        return fail(ErrorCode::InvalidArgument, "the attestor's socket for shims, '" +
                                                    settings.attestor_shim_socket +
                                                    "', is not an absolute path of at most 107 bytes");

    broker::SpawnSettings spawning;
    spawning.shim_program = settings.libexec_dir + "/alcove-shim";
    spawning.vmm_program = settings.libexec_dir + "/alcove-vmm";
    spawning.jail_mount_point = settings.run_dir + "/jail";
    spawning.attestor_shim_socket = settings.attestor_shim_socket;
    spawning.visible.insert(spawning.visible.end(), settings.vmm_sees.begin(), settings.vmm_sees.end());
    spawning.host_cores = host_cores();
    spawning.shim_uid = shim.pw_uid;
    spawning.shim_gid = shim.pw_gid;
    spawning.daemon_uid = daemon.pw_uid;
    TRY(sys::make_directories(settings.run_dir));
    TRY(sys::make_directories(spawning.jail_mount_point, 0700));

    auto cgroups = TRY(broker::Cgroups::open(settings.cgroup_root));
    auto folders =
        TRY(broker::VmFolders::open(cgroups, settings.run_dir, {.shim_uid = shim.pw_uid, .group = group}));
    broker::ProcessSpawner spawner(std::move(spawning));
    auto loop = TRY(EventLoop::create());
    const std::string path = settings.run_dir + "/broker.sock";
    auto listener = TRY(sys::unix_listen(path, SOCK_SEQPACKET, 0660));
    if (::chown(path.c_str(), 0, group) < 0) return fail_errno(errno, "chown " + path);
    const auto server =
        TRY(broker::Broker::create(*loop,
                                   {.folders = folders,
                                    .spawner = spawner,
                                    .siblings_of = siblings_of,
                                    .check_siblings_can_be_shared = broker::check_siblings_can_be_shared,
                                    .open_at_attestor =
                                        [&settings](const broker::LaunchPlan& plan) {
                                            return broker::open_at_attestor(settings.attestor_socket, plan);
                                        },
                                    .sgx_root =
                                        [&settings](const broker::LaunchPlan& plan) {
                                            return broker::ask_sgx_root(settings.attestor_socket, plan);
                                        },
                                    .kvm = "/dev/kvm",
                                    .sgx_vepc = "/dev/sgx_vepc",
                                    .sgx_provision = "/dev/sgx_provision",
                                    .daemon_uid = daemon.pw_uid},
                                   std::move(listener)));
    log::info("ready at {}", path);
    return loop->run();
}

}  // namespace

int main(int argc, char** argv) {
    const auto settings = parse(argc, argv);
    if (!settings) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    log::start("alcove-broker");
    ::signal(SIGPIPE, SIG_IGN);
    ::umask(022);
    const auto result = run(*settings);
    if (result) return 0;
    log::error("{}", result.error().to_string());
    return 1;
}
