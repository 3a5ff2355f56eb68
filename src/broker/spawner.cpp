// SPDX-License-Identifier: Apache-2.0
#include "broker/spawner.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/shim_messages.hpp"
#include "api/start_messages.hpp"
#include "broker/process_setup.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::broker {

namespace {

constexpr uint64_t kVmmDescriptors = 32768;  // a vsock connection each, and a few
constexpr uint64_t kShimDescriptors = 65536;

// All that the children need, made before the first fork.
struct Preparation {
    const SpawnSettings& settings;
    const LaunchPlan& plan;
    VmPlaces places;
    VmDescriptors descriptors;
    Fd shim_program;
    Fd vmm_program;
    Fd null;
    sys::Pair vmm_channel;  // shim's end, VMM's end
    sys::Pair shim_start;   // the shim's end, and the one that is written to beforehand
    sys::Pair vmm_log;      // read by the shim, written by the VMM
    sys::Pair report;
};

[[noreturn]] void report_and_exit(int report, const char* who, const Error& error) {
    const auto message = api::encode_failed(0, Error(error).context(who));
    (void)!::write(report, message.data(), message.size());
    ::_exit(1);
}

// The cores that a carved enclave will run on are assigned later; those that are then shared need this, too.
Result<void> share_cores(const LaunchPlan& plan) {
    if (plan.dedicated()) return {};
    auto isolated = isolate_siblings();
    if (plan.carved()) return {};
    return isolated;
}

Result<void> prepare_vmm(const Preparation& all, pid_t shim) {
    TRY(share_cores(all.plan));
    TRY(enter_empty_root(all.settings.jail_mount_point, all.settings.visible));
    TRY(limit_resources(kVmmDescriptors));
    TRY(drop_privileges(all.plan.vmm_uid(), all.plan.vmm_uid()));
    // Behind the change of user, which clears it. It reaches a VMM only while the shim may signal it; a VMM
    // whose channel closes ends by itself, and one that does not is ended by the broker.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_PDEATHSIG");
    if (::getppid() != shim) return fail(ErrorCode::Cancelled, "the shim is gone");
    return {};
}

std::vector<std::string> vmm_arguments(const Preparation& all) {
    std::vector<std::string> arguments = {"alcove-vmm", "--cores=" + all.settings.host_cores};
    if (all.plan.primary()) arguments.emplace_back("lives");
    return arguments;
}

[[noreturn]] void become_vmm(const Preparation& all, pid_t shim) {
    int report = all.report.second.get();
    const auto prepared = prepare_vmm(all, shim);
    if (!prepared) report_and_exit(report, "starting the VMM", prepared.error());
    const auto error =
        become_program({.standard_input = all.null.get(),
                        .output = all.vmm_log.second.get(),
                        .channel = all.vmm_channel.second.get(),
                        .more = {all.places.vcpu_threads.get(), all.places.vcpu_partition.get()},
                        .program = all.vmm_program.get(),
                        .arguments = vmm_arguments(all)},
                       report);
    report_and_exit(report, "starting the VMM", error);
}

// The VM's sockets are made by the shim's user, and listen before anyone is told that there is a VM.
Result<void> make_listeners(const Preparation& all, api::start::Descriptors& descriptors) {
    if (::fchdir(all.places.folder.get()) < 0) return fail_errno(errno, "fchdir to the VM's folder");
    descriptors.daemon_listener = TRY(sys::unix_listen(api::shim::kSocketName, SOCK_SEQPACKET, 0660));
    descriptors.connect_listener = TRY(sys::unix_listen(api::shim::kConnectSocketName, SOCK_STREAM, 0660));
    if (::chdir("/") < 0) return fail_errno(errno, "chdir /");
    return {};
}

Result<void> write_start(Preparation& all, pid_t vmm) {
    using api::start::Start;
    const auto& plan = all.plan;
    api::start::Order order;
    order.start.vm_id = plan.id.field();
    order.start.flags = (plan.debug() ? Start::kDebug : 0) | (plan.carved() ? Start::kCarved : 0) |
                        (plan.provisioned() ? Start::kProvisioned : 0) |
                        (plan.enclaves() ? Start::kEnclaves : 0);
    order.start.vcpu_count = plan.numbers.vcpu_count;
    order.start.page_size = plan.numbers.page_size;
    order.start.daemon_uid = all.settings.daemon_uid;
    order.start.vmm_pid = static_cast<uint32_t>(vmm);
    order.start.memory_bytes = plan.numbers.memory_bytes;
    order.start.image_size = plan.numbers.image_size;
    order.start.guest_cid = plan.numbers.guest_cid;
    order.start.role = plan.numbers.role;
    order.start.disk_count = plan.numbers.disk_count;
    order.start.threads_per_core = plan.numbers.threads_per_core;
    order.start.networks = plan.numbers.networks;
    order.start.sgx = plan.numbers.sgx;
    order.start.sgx.root = all.descriptors.sgx_root;
    order.start.attestor_socket =
        decltype(order.start.attestor_socket)::of(all.settings.attestor_shim_socket);
    auto& fds = order.descriptors;
    fds.vmm_pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, vmm, 0)));
    if (!fds.vmm_pidfd.is_open()) return fail_errno(errno, "pidfd_open of the VMM");
    TRY(make_listeners(all, fds));
    fds.folder = std::move(all.places.folder);
    fds.image = std::move(all.descriptors.image);
    fds.kvm = std::move(all.descriptors.kvm);
    fds.attestor = std::move(all.descriptors.attestor);
    fds.spill = std::move(all.descriptors.spill);
    fds.epc = std::move(all.descriptors.epc);
    fds.provision = std::move(all.descriptors.provision);
    fds.vmm_channel = std::move(all.vmm_channel.first);
    fds.vmm_log = std::move(all.vmm_log.first);
    fds.vmm_kill = std::move(all.places.vmm_kill);
    fds.disks = std::move(all.descriptors.disks);
    fds.networks = std::move(all.descriptors.networks);
    return api::start::send_start(Channel(std::move(all.shim_start.second)), order);
}

Result<void> prepare_shim(Preparation& all) {
    ::setsid();
    ::signal(SIGPIPE, SIG_DFL);
    if (::unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) return fail_errno(errno, "unshare");
    const pid_t self = ::getpid();
    const pid_t vmm = TRY(fork_into(all.places.vmm_cgroup).context("the VMM"));
    if (vmm == 0) become_vmm(all, self);
    TRY(limit_resources(kShimDescriptors));
    TRY(drop_privileges(all.settings.shim_uid, all.settings.shim_gid));
    return write_start(all, vmm);
}

[[noreturn]] void become_shim(Preparation& all) {
    int report = all.report.second.get();
    const auto prepared = prepare_shim(all);
    if (!prepared) report_and_exit(report, "starting the shim", prepared.error());
    const auto error = become_program({.standard_input = all.null.get(),
                                       .output = STDERR_FILENO,
                                       .channel = all.shim_start.first.get(),
                                       .more = {},
                                       .program = all.shim_program.get(),
                                       .arguments = {"alcove-shim", all.plan.id.text()}},
                                      report);
    report_and_exit(report, "starting the shim", error);
}

}  // namespace

Result<SpawnedShim> ProcessSpawner::spawn(const LaunchPlan& plan, VmPlaces places,
                                          VmDescriptors descriptors) {
    auto shim_program = TRY(sys::open(settings_.shim_program, O_RDONLY));
    auto vmm_program = TRY(sys::open(settings_.vmm_program, O_RDONLY));
    auto null = TRY(sys::open("/dev/null", O_RDWR));
    auto vmm_channel = TRY(sys::socket_pair(SOCK_SEQPACKET));
    auto shim_start = TRY(sys::socket_pair(SOCK_SEQPACKET));
    auto vmm_log = TRY(sys::pipe());
    auto report = TRY(sys::pipe());
    Preparation all{.settings = settings_,
                    .plan = plan,
                    .places = std::move(places),
                    .descriptors = std::move(descriptors),
                    .shim_program = std::move(shim_program),
                    .vmm_program = std::move(vmm_program),
                    .null = std::move(null),
                    .vmm_channel = std::move(vmm_channel),
                    .shim_start = std::move(shim_start),
                    .vmm_log = std::move(vmm_log),
                    .report = std::move(report)};
    const pid_t pid = TRY(fork_into(all.places.shim_cgroup).context("the shim"));
    if (pid == 0) become_shim(all);
    // Not reaped before the broker's loop runs again, so the number still means this child.
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.is_open()) return fail_errno(errno, "pidfd_open of the shim");
    TRY(sys::set_non_blocking(all.report.first, true));
    return SpawnedShim{.pid = pid, .pidfd = std::move(pidfd), .report = std::move(all.report.first)};
}

Result<void> read_report(const Fd& report) {
    Bytes message(4096);
    const auto transfer = TRY(sys::read_some(report, message));
    if (transfer.bytes == 0) return {};
    const auto envelope = TRY(api::open_envelope(ByteView(message).first(transfer.bytes)));
    auto failed = TRY(api::decode_failed(envelope));
    return Failure{std::move(failed.error)};
}

}  // namespace alcove::broker
