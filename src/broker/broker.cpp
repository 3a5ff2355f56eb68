// SPDX-License-Identifier: Apache-2.0
#include "broker/broker.hpp"

#include <fcntl.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::broker {

using api::VmId;
namespace message = api::broker;

namespace {

constexpr std::chrono::seconds kStartPatience(20);
constexpr std::chrono::seconds kRemovePatience(20);
constexpr std::chrono::milliseconds kRemoveAgain(10);
constexpr uint64_t kNobody = 0;  // a client that wants no answer

Bytes done(uint32_t request) {
    return api::encode(message::Done{.request = request, .reserved = {}});
}

Result<void> check_disk(const Fd& disk) {
    const int flags = ::fcntl(disk.get(), F_GETFL);
    if ((flags & O_ACCMODE) == O_WRONLY || (flags & (O_PATH | O_APPEND)) != 0)
        return fail(ErrorCode::InvalidArgument, "launch: a disk is not open for reading");
    TRY(sys::file_size(disk).context("launch: a disk"));
    return {};
}

Result<void> check_image(const Fd& image, const message::Launch& launch) {
    if ((::fcntl(image.get(), F_GETFL) & (O_ACCMODE | O_PATH)) != O_RDONLY)
        return fail(ErrorCode::InvalidArgument, "launch: the image is not open for reading only");
    const uint64_t size = TRY(sys::file_size(image).context("launch: the image"));
    if (size >= launch.image_size) return {};
    return fail(ErrorCode::InvalidArgument, "launch: the image is smaller than it says");
}

Result<void> check_spill_file(const Fd& spill, uint64_t epc_bytes) {
    const auto info = TRY(sys::stat(spill));
    const bool both = (::fcntl(spill.get(), F_GETFL) & (O_ACCMODE | O_PATH | O_APPEND)) == O_RDWR;
    if (both && S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) == epc_bytes) return {};
    return fail(ErrorCode::InvalidArgument, "launch: the spill file is none, or not as large as the EPC");
}

// A primary VM's RAM, as its shim made it: its VMM can neither cut it nor seal it against who moves it.
Result<void> check_parent_ram(const Fd& ram, const message::Launch& launch) {
    constexpr int kFixed = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    if ((::fcntl(ram.get(), F_GETFL) & (O_ACCMODE | O_PATH | O_APPEND)) != O_RDWR)
        return fail(ErrorCode::InvalidArgument, "launch: the primary's RAM is not open for both");
    struct statfs info {};
    const int seals = ::fcntl(ram.get(), F_GET_SEALS);  // all bits where it can not be sealed
    if ((seals & (kFixed | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != kFixed || ::fstatfs(ram.get(), &info) < 0)
        return fail(ErrorCode::InvalidArgument,
                    "launch: the primary's RAM is no memory file of a fixed size");
    const uint64_t size = TRY(sys::file_size(ram).context("launch: the primary's RAM"));
    if (static_cast<uint64_t>(info.f_bsize) == launch.page_size && size >= launch.memory_bytes) return {};
    return fail(ErrorCode::InvalidArgument, "launch: the primary's RAM is smaller, or of other pages");
}

}  // namespace

Result<std::unique_ptr<Broker>> Broker::create(EventLoop& loop, Parts parts, Fd listener) {
    std::unique_ptr<Broker> broker(new Broker(loop, std::move(parts), std::move(listener)));
    TRY(broker->adopt());
    TRY(sys::set_non_blocking(broker->listener_, true));
    Broker* self = broker.get();
    self->listener_watch_ = TRY(loop.watch(self->listener_, EPOLLIN, [self](uint32_t) { self->accept(); }));
    return broker;
}

Broker::~Broker() {
    loop_.unwatch(listener_watch_);
    for (const auto& [id, shim] : running_)
        loop_.unwatch(shim.watch);
    for (const auto& [id, launching] : launching_) {
        loop_.unwatch(launching.watch);
        loop_.cancel(launching.timer);
    }
}

Result<void> Broker::adopt() {
    const auto entries = TRY(parts_.folders.list());
    for (const auto& entry : entries) {
        const auto id = TRY(VmId::parse(entry.vm_id));
        auto pidfd = parts_.folders.shim_pidfd(id);
        if (pidfd) TRY(keep(id, std::move(*pidfd)));
        if (!pidfd) (void)parts_.folders.kill_vmm(id);  // there may be none
    }
    return {};
}

void Broker::accept() {
    auto socket = sys::accept(listener_);
    if (!socket) return;
    const auto peer = sys::peer_credentials(*socket);
    if (!peer || peer->uid != parts_.daemon_uid || clients_.size() >= kMaxConnections) {
        log::warn("turned away: {}", peer ? "user " + std::to_string(peer->uid) : peer.error().to_string());
        return;
    }
    const uint64_t client = next_client_++;
    auto connection =
        api::Connection::create(loop_, Channel(std::move(*socket)), api::Protocol::Broker, message::kVersions,
                                {.on_open = nullptr,
                                 .on_message =
                                     [this, client](const api::Envelope& envelope, std::vector<Fd> fds) {
                                         return on_request(client, envelope, std::move(fds));
                                     },
                                 .on_closed =
                                     [this, client](const Error& error) {
                                         log::info("a connection ended: {}", error.to_string());
                                         clients_.erase(client);
                                     }});
    if (connection) clients_.emplace(client, std::move(*connection));
}

void Broker::reply(uint64_t client, Bytes bytes, std::vector<Fd> descriptors) {
    const auto found = clients_.find(client);
    if (found != clients_.end()) found->second->send(std::move(bytes), std::move(descriptors));
}

void Broker::refuse_if_failed(uint64_t client, uint32_t request, const Result<void>& outcome) {
    if (outcome) return;
    log::warn("a request failed: {}", outcome.error().to_string());
    reply(client, api::encode_failed(request, outcome.error()));
}

Result<void> Broker::on_request(uint64_t client, const api::Envelope& envelope, std::vector<Fd> descriptors) {
    switch (envelope.type) {
        case message::Launch::kType: {
            const auto body = TRY(api::decode<message::Launch>(envelope));
            refuse_if_failed(client, body.request, launch(client, body, std::move(descriptors)));
            return {};
        }
        case message::Kill::kType: {
            const auto body = TRY(api::decode<message::Kill>(envelope));
            const auto id = TRY(VmId::parse(body.vm_id));
            const auto killed = parts_.folders.kill_vmm(id);
            if (killed) reply(client, done(body.request));
            refuse_if_failed(client, body.request, killed);
            return {};
        }
        case message::Remove::kType: {
            const auto body = TRY(api::decode<message::Remove>(envelope));
            const auto id = TRY(VmId::parse(body.vm_id));
            remove(client, body.request, id, EventLoop::Clock::now() + kRemovePatience);
            return {};
        }
        case message::AssignCores::kType: {
            const auto body = TRY(api::decode<message::AssignCores>(envelope));
            refuse_if_failed(client, body.request, assign_cores(client, body));
            return {};
        }
        case message::LimitMemory::kType: {
            const auto body = TRY(api::decode<message::LimitMemory>(envelope));
            refuse_if_failed(client, body.launch.request, limit_memory(client, body));
            return {};
        }
        case message::List::kType: {
            const auto body = TRY(api::decode<message::List>(envelope));
            refuse_if_failed(client, body.request, list(client, body));
            return {};
        }
        default:
            return fail(ErrorCode::InvalidMessage,
                        "a request of unknown type " + std::to_string(envelope.type));
    }
}

Result<void> Broker::launch(uint64_t client, const message::Launch& body, std::vector<Fd> descriptors) {
    const auto plan = TRY(plan_launch(body, parts_.siblings_of));
    if (launching_.contains(plan.id.text()) || running_.contains(plan.id.text()))
        return fail(ErrorCode::AlreadyExists, "VM " + plan.id.text() + " runs already");
    auto given = TRY(gather(plan, std::move(descriptors)));
    auto places = TRY(parts_.folders.create(plan));
    const std::string note = places.core_note;
    auto started = start(plan, std::move(places), std::move(given));
    if (!started) {
        remove(kNobody, 0, plan.id, EventLoop::Clock::now() + kRemovePatience);
        return Failure{started.error()};
    }
    auto& launching = launching_.at(plan.id.text());
    launching.client = client;
    launching.answer.request = body.request;
    launching.answer.flags = plan.dedicated() && note.empty() ? message::Launched::kExclusiveCores : 0;
    launching.note = note;
    return {};
}

// Everything a launch needs that can be refused, before anything is made.
Result<VmDescriptors> Broker::gather(const LaunchPlan& plan, std::vector<Fd> descriptors) {
    const auto& networks = plan.numbers.networks;
    const size_t spills = plan.spills() ? 1 : 0;
    if (descriptors.size() != 1 + plan.numbers.disk_count + api::network_count(networks) + spills)
        return fail(ErrorCode::InvalidMessage,
                    "launch: not a descriptor for the image, each disk, each network and what spills");
    VmDescriptors given;
    auto next = std::make_move_iterator(descriptors.begin());
    given.image = *next++;
    const auto first_network = next + plan.numbers.disk_count;
    given.disks.assign(next, first_network);
    given.networks.assign(first_network, std::make_move_iterator(descriptors.end()) - spills);
    if (plan.spills()) given.spill = std::move(descriptors.back());
    if (plan.spills()) TRY(check_spill_file(given.spill, plan.numbers.sgx.epc_bytes()));
    for (const auto& disk : given.disks)
        TRY(check_disk(disk));
    for (size_t i = 0; i < given.networks.size(); ++i)
        TRY(api::check_network(given.networks[i], static_cast<api::NetworkKind>(networks[i].kind)));
    TRY(plan.carved() ? check_parent_ram(given.image, plan.numbers) : check_image(given.image, plan.numbers));
    auto kvm = sys::open(parts_.kvm, O_RDWR);
    if (!kvm) return fail(ErrorCode::KvmMissing, kvm.error().to_string());
    given.kvm = std::move(*kvm);
    if (!plan.primary()) given.attestor = TRY(parts_.open_at_attestor(plan).context("alcove-attestor"));
    if (plan.sgx()) given.sgx_root = TRY(parts_.sgx_root(plan).context("alcove-attestor"));
    TRY(open_sgx_devices(plan.numbers.sgx, given));
    return given;
}

Result<void> Broker::open_sgx_devices(const api::Sgx& sgx, VmDescriptors& given) const {
    const auto open = [](const std::string& device) -> Result<Fd> {
        auto opened = sys::open(device, O_RDWR);
        if (opened) return opened;
        return fail(ErrorCode::Unsupported,
                    "this host gives VMs no SGX of its processors: " + opened.error().to_string() +
                        "; sgx.backend = \"software\" needs none");
    };
    for (uint32_t i = 0; i < sgx.epc_devices(); ++i) {
        auto epc = TRY(open(parts_.sgx_vepc));
        given.epc.push_back(std::move(epc));
    }
    if (sgx.has_provision_device()) given.provision = TRY(open(parts_.sgx_provision));
    return {};
}

Result<void> Broker::start(const LaunchPlan& plan, VmPlaces places, VmDescriptors descriptors) {
    auto spawned = TRY(parts_.spawner.spawn(plan, std::move(places), std::move(descriptors)));
    const std::string id = plan.id.text();
    TRY(keep(plan.id, std::move(spawned.pidfd)));
    auto& launching = launching_[id];
    launching.report = std::move(spawned.report);
    launching.answer.shim_pid = static_cast<uint32_t>(spawned.pid);
    launching.timer = loop_.after(kStartPatience, [this, id] {
        finish_launch(id, fail(ErrorCode::Timeout, "the VM's programs did not begin in time"));
    });
    const auto watched = loop_.watch(launching.report, EPOLLIN, [this, id](uint32_t) {
        finish_launch(id, read_report(launching_.at(id).report));
    });
    ALCOVE_CHECK(watched.has_value(), "a pipe can be watched");
    launching.watch = *watched;
    return {};
}

void Broker::finish_launch(const std::string& id, Result<void> outcome) {
    const auto node = launching_.extract(id);
    const Launching& launching = node.mapped();
    loop_.unwatch(launching.watch);
    loop_.cancel(launching.timer);
    const auto shim = running_.find(id);
    if (outcome && shim == running_.end())
        outcome = fail(ErrorCode::EnclaveLaunchFailed, "the shim ended at once");
    auto pidfd = outcome ? sys::duplicate(shim->second.pidfd.get()) : Result<Fd>(Fd());
    if (outcome && !pidfd) outcome = Failure{pidfd.error()};
    if (!outcome) {
        const auto vm = VmId::parse(id);
        remove(kNobody, 0, vm.value(),
               EventLoop::Clock::now() + kRemovePatience);  // an id that was parsed before
        return refuse_if_failed(launching.client, launching.answer.request, outcome);
    }
    log::info("VM {}: started", id);
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(*pidfd));
    reply(launching.client, api::encode(launching.answer, as_byte_view(launching.note)),
          std::move(descriptors));
}

// Killing takes a moment, so this calls itself again until everything is gone.
void Broker::remove(uint64_t client, uint32_t request, const VmId& id, EventLoop::Clock::time_point give_up) {
    const auto killed = parts_.folders.kill_all(id);
    const auto removed = killed ? parts_.folders.remove(id) : killed;
    if (!removed && removed.error().code() == ErrorCode::Busy && EventLoop::Clock::now() < give_up) {
        loop_.after(kRemoveAgain,
                    [this, client, request, id, give_up] { remove(client, request, id, give_up); });
        return;
    }
    if (removed) reply(client, done(request));
    refuse_if_failed(client, request, removed);
}

Result<void> Broker::assign_cores(uint64_t client, const message::AssignCores& body) {
    const auto plan = TRY(plan_cores(body, parts_.siblings_of));
    if (!running_.contains(plan.id.text()))
        return fail(ErrorCode::NotFound, "there is no VM " + plan.id.text());
    if (!plan.dedicated) TRY(parts_.check_siblings_can_be_shared());
    const auto note = TRY(parts_.folders.assign_cores(plan));
    const bool exclusive = plan.dedicated && note.empty();
    if (!note.empty()) log::warn("VM {}: {}", plan.id.text(), note);
    reply(client,
          api::encode(message::CoresAssigned{.request = body.request,
                                             .flags = exclusive ? message::Launched::kExclusiveCores : 0},
                      as_byte_view(note)));
    return {};
}

Result<void> Broker::limit_memory(uint64_t client, const message::LimitMemory& body) {
    const auto plan = TRY(plan_launch(body.launch, parts_.siblings_of));
    if (!running_.contains(plan.id.text()))
        return fail(ErrorCode::NotFound, "there is no VM " + plan.id.text());
    TRY(parts_.folders.limit_memory(plan));
    reply(client, done(body.launch.request));
    return {};
}

Result<void> Broker::list(uint64_t client, const message::List& body) {
    auto entries = TRY(parts_.folders.list());
    const auto after = body.after.text();
    if (!after) return fail(ErrorCode::InvalidMessage, "list: not an id");
    std::erase_if(entries, [&](const message::ListEntry& entry) { return entry.vm_id.text() <= after; });
    reply(client, message::encode_listing(body.request, entries));
    return {};
}

Result<void> Broker::keep(const VmId& id, Fd shim_pidfd) {
    auto& shim = running_[id.text()];
    shim.pidfd = std::move(shim_pidfd);
    shim.watch = TRY(loop_.watch(shim.pidfd, EPOLLIN, [this, id](uint32_t) { shim_ended(id); }));
    return {};
}

void Broker::shim_ended(const VmId& id) {
    const auto found = running_.find(id.text());
    siginfo_t info{};
    // Not ours to reap if a former broker started it.
    ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(found->second.pidfd.get()), &info,
             WEXITED | WNOHANG);
    loop_.unwatch(found->second.watch);
    running_.erase(found);
    log::info("VM {}: its shim ended", id.text());
    // No VMM outlives its shim, whatever it thinks of that.
    const auto killed = parts_.folders.kill_vmm(id);
    if (!killed && killed.error().code() != ErrorCode::NotFound)
        log::error("VM {}: {}", id.text(), killed.error().to_string());
}

}  // namespace alcove::broker
