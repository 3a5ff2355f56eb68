// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.hpp"

#include <algorithm>
#include <cstdlib>

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/descriptor_messages.hpp"
#include "daemon/spill_file.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

namespace descriptors = api::descriptors;

constexpr mode_t kDirectoryMode = 0750;
constexpr mode_t kSocketMode = 0660;

// A group that does not exist, or that this user is not in, leaves the file to its owner: too tight is
// shown by the first client, too loose by nobody.
void give_to_group(const std::string& path, const std::string& group_name) {
    const auto* group = ::getgrnam(group_name.c_str());
    if (group == nullptr || ::chown(path.c_str(), static_cast<uid_t>(-1), group->gr_gid) < 0)
        log::warn("{} cannot be given to the group {}", path, group_name);
}

Result<void> prepare_directory(const std::string& path, const std::string& group) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0)
        return {};  // whoever made it (the service manager) chose its mode
    TRY(sys::make_directories(path, kDirectoryMode));
    give_to_group(path, group);
    return {};
}

Result<Fd> listen(const std::string& path, int type, const std::string& group) {
    auto listener = TRY(sys::unix_listen(path, type, kSocketMode));
    give_to_group(path, group);
    return listener;
}

std::vector<host::AlreadyLent> already_lent(const std::vector<Store::Saved>& saved) {
    std::vector<host::AlreadyLent> lent;
    for (const auto& one : saved) {
        if (is_over(one.record.state)) continue;
        for (const auto& node : one.grant.nodes) {
            auto found = std::ranges::find(lent, node.node, &host::AlreadyLent::node);
            if (found == lent.end()) found = lent.insert(lent.end(), {.node = node.node});
            found->cores.insert(found->cores.end(), node.cores.begin(), node.cores.end());
            auto& bytes = one.grant.pages == host::PageSize::Size2M ? found->huge_bytes : found->small_bytes;
            bytes += node.memory_bytes;
            found->small_bytes += node.epc_bytes;
        }
    }
    return lent;
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::start(const DaemonConfig& config) {
    std::unique_ptr<Daemon> daemon(new Daemon);
    daemon->loop_ = TRY(EventLoop::create());
    TRY(daemon->open_state(config));
    TRY(prepare_directory(config.run_directory, config.control_group));
    TRY(prepare_directory(config.view_directory, config.view_group));
    TRY(daemon->serve(config));
    return daemon;
}

Result<void> Daemon::open_state(const DaemonConfig& config) {
    TRY(sys::make_directories(config.state_directory, 0700));
    auto store = TRY(Store::open(config.state_directory + "/alcoved.db"));
    store_ = std::make_unique<Store>(std::move(store));
    const auto topology = TRY(host::read_topology());
    const auto memory = TRY(host::read_host_memory());
    const auto saved = TRY(store_->load());
    auto capacity = TRY(host::lending_capacity(topology, memory, host::probe_core_scheduling(),
                                               config.lending, already_lent(saved)));
    sgx_ = host::read_sgx(topology.nodes);
    host::add_hardware_epc(capacity, sgx_);
    auto ledger = TRY(host::Ledger::create(std::move(capacity)));
    ledger_ = std::make_unique<host::Ledger>(std::move(ledger));
    return {};
}

Result<void> Daemon::serve(const DaemonConfig& config) {
    auto supervision = config.supervisor;
    supervision.run_directory = config.run_directory;
    supervision.memory_now = [] { return host::read_host_memory(); };
    supervision.sgx = sgx_;
    supervisor_ = std::make_unique<Supervisor>(*loop_, *store_, *ledger_, changes_, std::move(supervision));
    TRY(supervisor_->start());

    auto descriptor_listener = TRY(
        listen(config.run_directory + "/" + descriptors::kSocketName, SOCK_SEQPACKET, config.control_group));
    descriptors_ = TRY(DescriptorServer::create(*loop_, std::move(descriptor_listener), tokens_));
    auto control_listener =
        TRY(listen(config.run_directory + "/" + kControlSocketName, SOCK_STREAM, config.control_group));
    auto view_listener =
        TRY(listen(config.view_directory + "/" + kViewSocketName, SOCK_STREAM, config.view_group));

    auto make_spill = config.make_spill_file;
    const std::string spill_directory =
        config.spill_directory.empty() ? config.state_directory + "/spill" : config.spill_directory;
    if (!make_spill)
        make_spill = [spill_directory](uint64_t bytes) { return make_spill_file(spill_directory, bytes); };
    api_ = std::make_unique<Api>(Api::Parts{.loop = *loop_,
                                            .supervisor = *supervisor_,
                                            .store = *store_,
                                            .ledger = *ledger_,
                                            .tokens = tokens_,
                                            .changes = changes_},
                                 Api::Config{.embedded = config.embedded,
                                             .attestor_socket = config.attestor_socket,
                                             .instance_id = store_->instance_id(),
                                             .make_spill_file = std::move(make_spill)});
    loop_thread_ = std::thread([loop = loop_.get()] {
        const auto ended = loop->run();
        if (ended) return;
        // Everything belongs to it: nobody would be answered any more. A new life adopts all VMs.
        log::error("the event loop ended: {}", ended.error().to_string());
        std::_Exit(1);
    });
    const auto serve_as = [this](Access access) {
        return [this, access](const HttpRequest& request) { return api_->handle(request, access); };
    };
    control_ = TRY(HttpServer::start(std::move(control_listener), config.http, serve_as(Access::Control),
                                     Api::error_body));
    view_ = TRY(
        HttpServer::start(std::move(view_listener), config.http, serve_as(Access::View), Api::error_body));
    return {};
}

Daemon::~Daemon() {
    // The HTTP threads ask the loop, so they end first; whoever waits for a change is sent home.
    changes_.end();
    control_.reset();
    view_.reset();
    if (loop_thread_.joinable()) {
        loop_->stop();
        loop_thread_.join();
    }
}

}  // namespace alcove::daemon
