// SPDX-License-Identifier: Apache-2.0
//
// Stands in for alcove-shim and alcove-vmm in spawner_test.cpp. As the VMM it looks around, says what it
// found on its channel, and ends when the channel does. As the shim it takes its orders, passes the VMM's
// words on and adds its own. One "key value" a line; the test asks for the lines it cares about.
#include <cerrno>
#include <csignal>
#include <set>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/start_messages.hpp"
#include "support/system.hpp"

namespace {

using namespace alcove;

std::string line(const std::string& key, const std::string& value) {
    return key + " " + value + "\n";
}

std::string names_in(const char* path) {
    DIR* const directory = ::opendir(path);
    if (directory == nullptr) return "-";
    std::set<std::string> names;
    while (const dirent* entry = ::readdir(directory))
        names.insert(entry->d_name);
    ::closedir(directory);
    std::string list;
    for (const auto& name : names)
        if (name != "." && name != "..") list += (list.empty() ? "" : ",") + name;
    return list;
}

std::string open_descriptors() {
    std::string list;
    for (int fd = 0; fd < 1000; ++fd)
        if (::fcntl(fd, F_GETFD) >= 0) list += (list.empty() ? "" : ",") + std::to_string(fd);
    return list;
}

std::string capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
    ::syscall(SYS_capget, &header, data);
    uint32_t all = 0;
    for (const auto& part : data)
        all |= part.effective | part.permitted | part.inheritable;
    int bounding = 0;
    for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
        bounding += ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    return std::to_string(all) + "," + std::to_string(bounding);
}

std::string interfaces() {
    std::string list;
    struct if_nameindex* const found = ::if_nameindex();
    if (found == nullptr) return "-";
    for (const auto* one = found; one->if_index != 0; ++one)
        list += (list.empty() ? "" : ",") + std::string(one->if_name);
    ::if_freenameindex(found);
    return list;
}

std::string cpus() {
    cpu_set_t set;
    ::sched_getaffinity(0, sizeof set, &set);
    std::string list;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    return list;
}

std::string look_around() {
    rlimit core{};
    rlimit files{};
    ::getrlimit(RLIMIT_CORE, &core);
    ::getrlimit(RLIMIT_NOFILE, &files);
    const int tried = ::open("/usr/lib/written-by-a-vmm", O_WRONLY | O_CREAT, 0600);
    const std::string writing = tried >= 0 ? "possible" : std::to_string(errno);
    return line("uid", std::to_string(::getuid())) + line("gid", std::to_string(::getgid())) +
           line("groups", std::to_string(::getgroups(0, nullptr))) + line("capabilities", capabilities()) +
           line("no_new_privs", std::to_string(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))) +
           line("descriptors", open_descriptors()) + line("root", names_in("/")) +
           line("usr", names_in("/usr")) + line("interfaces", interfaces()) +
           line("core", std::to_string(core.rlim_max)) + line("files", std::to_string(files.rlim_max)) +
           line("cpus", cpus()) + line("writing", writing) +
           line("environment", std::to_string(::getenv("HOME") == nullptr));
}

int be_vmm() {
    const Channel channel{Fd(3)};
    const auto outside = line("cpus_outside", cpus());
    const Fd vcpu_threads(4);
    if (!sys::write_all(vcpu_threads, as_byte_view("0"))) return 1;
    const Fd vcpu_partition(5);
    Bytes partition(128);
    const auto read = sys::read_some(vcpu_partition, partition);
    if (!read) return 1;
    const auto found = outside + look_around() +
                       line("partition", std::string(as_text(ByteView(partition).first(read->bytes - 1))));
    if (!channel.send(as_byte_view(found))) return 1;
    (void)channel.receive();  // until the shim is gone
    return 0;
}

int be_shim() {
    std::string found = look_around();
    const Channel start_channel{Fd(api::start::kChannelDescriptor)};
    auto order = api::start::receive_start(start_channel);
    if (!order) return 2;
    auto& fds = order->descriptors;
    const Channel vmm(std::move(fds.vmm_channel));
    const auto vmm_found = vmm.receive_within(std::chrono::seconds(20));
    if (!vmm_found) return 3;
    found += line("guest_cid", std::to_string(order->start.guest_cid));
    // Who connects is told everything; then: "kill" through the switch, or "die" without a word to the VMM.
    const auto client = sys::accept(fds.daemon_listener);
    if (!client) return 4;
    const Channel test(Fd(::dup(client->get())));
    (void)test.send(as_byte_view("shim\n" + found));
    (void)test.send(vmm_found->data);
    const auto wish = test.receive();
    if (!wish || as_text(wish->data) == "die") return 5;
    (void)sys::write_all(fds.vmm_kill, as_byte_view("1"));
    siginfo_t info{};
    ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(fds.vmm_pidfd.get()), &info, WEXITED);
    (void)test.send(as_byte_view(line("vmm_ended_by", std::to_string(info.si_status))));
    return 0;
}

}  // namespace

int main(int, char** argv) {
    return std::string(argv[0]) == "alcove-vmm" ? be_vmm() : be_shim();
}
