// SPDX-License-Identifier: Apache-2.0
#include "daemon/fake_host_test.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <future>

#include <sys/socket.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::daemon {

struct FakeHost::Shim {
    bool primary = false;
    std::string id;
    api::shim::State state{};
    std::string detail;
    Fd listener;
    EventLoop::WatchId listener_watch = 0;
    Channel daemon;
    EventLoop::WatchId daemon_watch = 0;
    Fd ring;
    std::optional<api::ConsoleRingWriter> console;
    Fd alive;  // the write end of what the daemon takes for a pidfd
    int attaches = 0;
    bool carved = false;
    Fd ram;
    Fd ne_line;
    int give_backs_to_refuse = 0;
    std::optional<uint32_t> held_memory{};  // the request that is not answered yet
    uint32_t budget_mib = 0;
    std::optional<api::vmm::SgxBalloon> balloon{};
};

template <typename F>
auto FakeHost::on_thread(F function) {
    using T = decltype(function());
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    loop_->post([promise, function] {
        if constexpr (std::is_void_v<T>) {
            function();
            promise->set_value();
        } else {
            promise->set_value(function());
        }
    });
    return future.get();
}

FakeHost::FakeHost(std::string run_directory) : directory_(std::move(run_directory)) {
    loop_ = EventLoop::create().value();
    sys::make_directories(directory_ + "/vm").value();
    listen();
    thread_ = std::thread([this] { loop_->run().value(); });
}

FakeHost::~FakeHost() {
    loop_->stop();
    thread_.join();
}

void FakeHost::listen() {
    listener_ = sys::unix_listen(directory_ + "/broker.sock", SOCK_SEQPACKET, 0600).value();
    listener_watch_ = loop_->watch(listener_, EPOLLIN, [this](uint32_t) { accept_daemon(); }).value();
}

void FakeHost::send(const Channel& channel, const Bytes& message, const std::vector<int>& descriptors) {
    static_cast<void>(channel.send(message, descriptors).has_value());  // the daemon may be gone
}

void FakeHost::accept_daemon() {
    loop_->unwatch(daemon_watch_);
    daemon_ = Channel(sys::accept(listener_).value());
    send(daemon_, api::encode_hello(api::Protocol::Broker, api::broker::kVersions));
    daemon_watch_ = loop_->watch(daemon_.fd(), EPOLLIN, [this](uint32_t) { broker_message(); }).value();
}

void FakeHost::broker_message() {
    auto message = daemon_.receive();
    if (!message) return loop_->unwatch(std::exchange(daemon_watch_, 0));
    const auto envelope = api::open_envelope(message->data).value();
    if (envelope.type == api::Hello::kType) return;
    if (envelope.type == api::broker::Launch::kType) {
        if (!hold_launch_) return launch(*message);
        held_.emplace_back(message->data, message->descriptors.at(0).release());
        return;
    }
    if (envelope.type == api::broker::List::kType) {
        std::vector<api::broker::ListEntry> entries;
        for (const auto& [id, shim] : shims_)
            entries.push_back({.vm_id = api::VmId::parse(id).value().field(), .flags = 3, .vmm_slot = 0});
        return send(daemon_, api::broker::encode_listing(
                                 api::decode<api::broker::List>(envelope).value().request, entries));
    }
    if (envelope.type == api::broker::AssignCores::kType) {
        const auto assign = api::decode<api::broker::AssignCores>(envelope).value();
        const std::string vm(assign.vm_id.text().value());
        orders_.push_back("cores " + vm + " " + assign.host_cpus.to_list() +
                          (assign.flags == api::broker::Launch::kDedicated ? "" : " shared"));
        const auto shim = shims_.find(vm);
        if (hold_cores_ && shim != shims_.end() && shim->second->carved) {
            held_cores_ = assign.request;
            return;
        }
        const api::broker::CoresAssigned answer{.request = assign.request, .flags = 0};
        return send(daemon_, api::encode(answer, as_byte_view(core_note_)));
    }
    if (envelope.type == api::broker::LimitMemory::kType)
        return limit_memory(api::decode<api::broker::LimitMemory>(envelope)->launch);
    const auto remove = api::decode<api::broker::Remove>(envelope).value();
    const std::string id(remove.vm_id.text().value());
    if (refuse_removal_ && (unremovable_.empty() || unremovable_ == id))
        return send(daemon_, api::encode_failed(remove.request, Error(ErrorCode::Busy, "not now")));
    removed_.push_back(id);
    if (!shims_.contains(id))
        return send(daemon_, api::encode_failed(remove.request, Error(ErrorCode::NotFound, "no such VM")));
    loop_->unwatch(shims_[id]->listener_watch);
    loop_->unwatch(shims_[id]->daemon_watch);
    shims_.erase(id);
    std::filesystem::remove_all(directory_ + "/vm/" + id);
    send(daemon_, api::encode(api::broker::Done{.request = remove.request, .reserved = {}}));
}

void FakeHost::launch(const Channel::Message& message) {
    const auto order = api::decode<api::broker::Launch>(api::open_envelope(message.data).value()).value();
    const std::string id(order.vm_id.text().value());
    launches_.push_back(order);
    if (refuse_launch_) return send(daemon_, api::encode_failed(order.request, *refuse_launch_));
    std::string content(order.image_size, '\0');
    sys::read_exact_at(message.descriptors.at(0),
                       {reinterpret_cast<uint8_t*>(content.data()), content.size()}, 0)
        .value();
    images_[id] = content;
    disks_[id] = message.descriptors.size() - 1;
    start_shim(id, order);
    auto pipe = sys::pipe().value();
    shims_[id]->alive = std::move(pipe.second);
    const api::broker::Launched answer{.request = order.request, .flags = 0, .shim_pid = 1, .reserved = {}};
    send(daemon_, api::encode(answer, as_byte_view(core_note_)), {pipe.first.get()});
}

void FakeHost::limit_memory(const api::broker::Launch& launch) {
    orders_.push_back("limit " + std::string(launch.vm_id.text().value()) + " for " +
                      std::to_string(launch.sgx.budget_mib) + " MiB of EPC");
    if (const auto refused = std::exchange(refuse_limit_, std::nullopt))
        return send(daemon_, api::encode_failed(launch.request, *refused));
    send(daemon_, api::encode(api::broker::Done{.request = launch.request, .reserved = {}}));
}

void FakeHost::serve_sgx(Shim& shim, const api::shim::SgxRequest& question) {
    const auto action = api::vmm::sgx_action_of(question);
    const bool drop = action == api::vmm::SgxAction::Drop;
    if (drop) orders_.push_back("drop the EPC of " + shim.id);
    if (action == api::vmm::SgxAction::SetBudget) {
        orders_.push_back("budget " + shim.id + " " + std::to_string(question.mib) + " MiB");
        if (const auto refused = std::exchange(refuse_budget_, std::nullopt))
            return send(shim.daemon, api::encode_failed(question.request, *refused));
        shim.budget_mib = static_cast<uint32_t>(uint64_t{question.mib});
    }
    if (action == api::vmm::SgxAction::SetBalloon) {
        orders_.push_back("balloon " + shim.id + " " + std::to_string(question.mib) + " MiB");
        if (const auto refused = std::exchange(refuse_budget_, std::nullopt))
            return send(shim.daemon, api::encode_failed(question.request, *refused));
        shim.balloon->target = question.mib << 20;
    }
    api::vmm::SgxState state{
        .valid_pages = drop ? 0U : 7U, .resident_pages = 1024, .budget_pages = 256 * shim.budget_mib};
    state.balloon = shim.balloon;
    state.sections = {{.base = uint64_t{4} << 30, .size = uint64_t{4} << 20}};
    send(shim.daemon, api::vmm::encode_sgx_report(question.request, state));
}

void FakeHost::start_shim(const std::string& id, const api::broker::Launch& order) {
    auto shim = std::make_unique<Shim>();
    auto* raw = shim.get();
    shim->id = id;
    shim->state.vm_id = order.vm_id;
    const bool carved = (order.flags & api::broker::Launch::kCarved) != 0;
    shim->carved = carved;
    shim->budget_mib = order.sgx.budget_mib;
    if (order.sgx.has_balloon())
        shim->balloon = api::vmm::SgxBalloon{.target = uint64_t{order.sgx.balloon_mib} << 20};
    shim->state.phase =
        static_cast<uint32_t>(carved ? api::shim::Phase::Gathering : api::shim::Phase::Copying);
    shim->state.begun_ns = 1000;
    shim->state.vcpu = 0xffff;
    const bool debug = (order.flags & api::broker::Launch::kDebug) != 0;
    shim->primary = order.role == static_cast<uint32_t>(api::VmRole::Primary);
    if (debug || shim->primary) {
        shim->state.flags = debug ? api::shim::State::kDebug : 0;
        shim->ring = api::make_console_ring().value();
        shim->console = api::ConsoleRingWriter::open(shim->ring).value();
    }
    sys::make_directories(directory_ + "/vm/" + id).value();
    shim->listener = sys::unix_listen(directory_ + "/vm/" + id + "/shim.sock", SOCK_SEQPACKET, 0600).value();
    shim->listener_watch =
        loop_->watch(shim->listener, EPOLLIN, [this, raw](uint32_t) { accept_shim(*raw); }).value();
    shims_[id] = std::move(shim);
}

void FakeHost::accept_shim(Shim& shim) {
    loop_->unwatch(shim.daemon_watch);
    shim.daemon = Channel(sys::accept(shim.listener).value());
    send(shim.daemon, api::encode_hello(api::Protocol::Shim, api::shim::kVersions));
    shim.daemon_watch =
        loop_->watch(shim.daemon.fd(), EPOLLIN, [this, &shim](uint32_t) { shim_message(shim); }).value();
}

void FakeHost::push(Shim& shim, uint32_t request) {
    shim.state.request = request;
    send(shim.daemon, api::encode(shim.state, as_byte_view(shim.detail)));
}

void FakeHost::play(Shim& shim) {
    const auto step = [&](api::shim::Phase phase) {
        shim.state.phase = static_cast<uint32_t>(phase);
        push(shim, 0);
    };
    if (script_ == Script::Hold) {
        send(shim.daemon, api::encode(api::shim::Progress{.bytes_done = 1, .bytes_total = 2}));
        return;
    }
    if (script_ == Script::Fail || (script_ == Script::FailEnclaves && !shim.primary)) {
        shim.state.reason = static_cast<uint16_t>(api::StopReason::LaunchFailed);
        shim.state.error_code = static_cast<uint32_t>(ErrorCode::ImageCrc);
        shim.detail = "the checksum is another";
        return step(api::shim::Phase::Ended);
    }
    if (!shim.primary) shim.state.flags = shim.state.flags | api::shim::State::kMeasured;
    shim.state.pcr0.fill(0x10);
    shim.state.pcr1.fill(0x11);
    shim.state.pcr2.fill(0x12);
    shim.state.measured_ns = 2000;
    shim.state.signature = static_cast<uint32_t>(api::shim::SignatureState::Unsigned);
    step(api::shim::Phase::Reserving);
    step(api::shim::Phase::Starting);
    shim.state.vmm_pid = 4711;
    shim.state.first_instruction_ns = 3000;
    step(api::shim::Phase::Running);
    if (script_ == Script::Measured || shim.primary) return;
    shim.state.ready_ns = 4000;
    shim.state.ready_answered_by = static_cast<uint32_t>(api::vmm::ReadyAnsweredBy::Alcove);
    step(api::shim::Phase::Ready);
}

void FakeHost::shim_message(Shim& shim) {
    auto message = shim.daemon.receive();
    if (!message) return loop_->unwatch(std::exchange(shim.daemon_watch, 0));
    const auto envelope = api::open_envelope(message->data).value();
    if (envelope.type == api::Hello::kType) return;
    const uint32_t request = *read_object<Le32>(envelope.body);
    const auto done = [&] {
        send(shim.daemon, api::encode(api::shim::Done{.request = request, .reserved = {}}));
    };
    switch (envelope.type) {
        case api::shim::Attach::kType:
            push(shim, request);
            if (!metadata_.empty())
                send(shim.daemon, api::encode(api::shim::ImageMetadata{}, as_byte_view(metadata_)));
            if (shim.attaches++ == 0 && !shim.carved) play(shim);
            return;
        case api::shim::GetRam::kType: {
            if (!shim.ram.is_open()) shim.ram = sys::memfd("ram", 0).value();
            const api::shim::Ram answer{.request = request, .page_size = 4096, .bytes = 1};
            return send(shim.daemon, api::encode(answer), {shim.ram.get()});
        }
        case api::shim::NeLine::kType:
            shim.ne_line = std::move(message->descriptors.at(0));
            return done();
        case api::shim::AddMemory::kType: {
            const auto add = api::decode<api::shim::AddMemory>(envelope).value();
            orders_.push_back("add " + shim.id + " " + std::to_string(add.parent_offset >> 20) + "+" +
                              std::to_string(add.size >> 20) + " at " +
                              std::to_string(add.enclave_offset >> 20));
            if (const auto refused = std::exchange(refuse_memory_, std::nullopt))
                return send(shim.daemon, api::encode_failed(request, *refused));
            if (!hold_memory_) return done();
            shim.held_memory = request;
            return;
        }
        case api::shim::FabricJoin::kType: {
            const auto peer =
                api::shim::decode_fabric_join(envelope, std::move(message->descriptors)).value();
            orders_.push_back("join " + shim.id + " with " + std::to_string(peer.cid) +
                              (peer.console_ring.is_open() ? ", console" : ""));
            return done();
        }
        case api::shim::FabricLeave::kType: {
            const auto leave = api::decode<api::shim::FabricLeave>(envelope).value();
            orders_.push_back("leave " + shim.id + " and " + std::to_string(leave.peer_cid));
            return done();
        }
        case api::shim::Begin::kType: {
            const auto begin = api::decode<api::shim::Begin>(envelope).value();
            orders_.push_back("begin " + shim.id + " with " + std::to_string(begin.vcpu_count) + " vCPUs, " +
                              std::to_string(begin.threads_per_core) + " a core");
            if ((begin.flags & api::shim::Begin::kDebug) != 0) {
                shim.ring = api::make_console_ring().value();
                shim.console = api::ConsoleRingWriter::open(shim.ring).value();
            }
            done();
            return play(shim);
        }
        case api::shim::GiveBack::kType:
            orders_.push_back("give back " + shim.id);
            if (shim.give_backs_to_refuse > 0) {
                --shim.give_backs_to_refuse;
                return send(shim.daemon, api::encode_failed(request, Error(ErrorCode::OutOfMemory, "none")));
            }
            return done();
        case api::shim::Stop::kType:
            if (ignore_stops_) return;
            done();
            shim.state.reason = static_cast<uint16_t>(api::StopReason::HostRequest);
            shim.state.phase = static_cast<uint32_t>(api::shim::Phase::Ended);
            return push(shim, 0);
        case api::shim::StatisticsRequest::kType: {
            const std::vector<api::vmm::StatisticsEntry> entries = {{.id = 1, .index = 0, .value = 70},
                                                                    {.id = 1, .index = 1, .value = 7},
                                                                    {.id = 999, .index = 0, .value = 1}};
            return send(shim.daemon, api::vmm::encode_statistics(request, entries));
        }
        case api::shim::SgxRequest::kType:
            return serve_sgx(shim, api::decode<api::shim::SgxRequest>(envelope).value());
        case api::shim::Console::kType:
            if (!shim.ring.is_open())
                return send(shim.daemon,
                            api::encode_failed(request, Error(ErrorCode::EnclaveNotDebug, "no console")));
            return send(shim.daemon,
                        api::encode(api::shim::ConsoleRing{
                            .request = request, .ring_bytes = static_cast<uint32_t>(api::kConsoleRingBytes)}),
                        {shim.ring.get()});
        default:
            return done();
    }
}

void FakeHost::set_script(Script script) {
    on_thread([this, script] { script_ = script; });
}
void FakeHost::refuse_launches(std::optional<Error> error) {
    on_thread([this, error] { refuse_launch_ = error; });
}
void FakeHost::refuse_removals(bool refuse, const std::string& of) {
    on_thread([this, refuse, of] {
        refuse_removal_ = refuse;
        unremovable_ = of;
    });
}
void FakeHost::set_metadata(const std::string& section) {
    on_thread([this, section] { metadata_ = section; });
}

void FakeHost::set_core_note(const std::string& note) {
    on_thread([this, note] { core_note_ = note; });
}

void FakeHost::ignore_stops(bool ignore) {
    on_thread([this, ignore] { ignore_stops_ = ignore; });
}
void FakeHost::hold_launches(bool hold) {
    on_thread([this, hold] {
        hold_launch_ = hold;
        if (!hold) answer_held();
    });
}
void FakeHost::hold_memory(bool hold) {
    on_thread([this, hold] {
        hold_memory_ = hold;
        if (hold) return;
        for (auto& [id, shim] : shims_)
            if (const auto request = std::exchange(shim->held_memory, std::nullopt))
                send(shim->daemon, api::encode(api::shim::Done{.request = *request, .reserved = {}}));
    });
}
void FakeHost::hold_cores(bool hold) {
    on_thread([this, hold] {
        hold_cores_ = hold;
        if (hold) return;
        if (const auto request = std::exchange(held_cores_, std::nullopt))
            send(daemon_, api::encode_failed(*request, Error(ErrorCode::Busy, "not now")));
    });
}
void FakeHost::answer_held() {
    for (auto& [data, fd] : held_) {
        Channel::Message message;
        message.data = data;
        message.descriptors.emplace_back(fd);
        launch(message);
    }
    held_.clear();
}

void FakeHost::set_phase(const std::string& id, api::shim::Phase phase) {
    on_thread([this, id, phase] {
        auto& shim = *shims_.at(id);
        shim.state.phase = static_cast<uint32_t>(phase);
        push(shim, 0);
    });
}
void FakeHost::reset(const std::string& id) {
    on_thread([this, id] {
        auto& shim = *shims_.at(id);
        shim.state.restarts = shim.state.restarts + 1;
        for (const auto phase :
             {api::shim::Phase::Reserving, api::shim::Phase::Starting, api::shim::Phase::Running}) {
            shim.state.phase = static_cast<uint32_t>(phase);
            push(shim, 0);
        }
    });
}
void FakeHost::end(const std::string& id, api::StopReason reason, const std::string& detail) {
    on_thread([this, id, reason, detail] {
        auto& shim = *shims_.at(id);
        shim.state.phase = static_cast<uint32_t>(api::shim::Phase::Ended);
        shim.state.reason = static_cast<uint16_t>(reason);
        shim.state.app_exit_kind = static_cast<uint32_t>(api::vmm::AppExitKind::Exited);
        shim.state.app_exit_value = 3;
        shim.detail = detail;
        push(shim, 0);
    });
}
void FakeHost::kill_shim(const std::string& id) {
    on_thread([this, id] {
        auto& shim = *shims_.at(id);
        loop_->unwatch(std::exchange(shim.listener_watch, 0));
        loop_->unwatch(std::exchange(shim.daemon_watch, 0));
        shim.listener.reset();
        shim.daemon = Channel();
        shim.alive.reset();
    });
}
void FakeHost::drop_connection(const std::string& id) {
    on_thread([this, id] {
        auto& shim = *shims_.at(id);
        loop_->unwatch(std::exchange(shim.daemon_watch, 0));
        shim.daemon = Channel();
    });
}
void FakeHost::send_raw(const std::string& id, Bytes message) {
    on_thread([this, id, message] { send(shims_.at(id)->daemon, message); });
}
void FakeHost::write_console(const std::string& id, const std::string& text) {
    on_thread([this, id, text] { shims_.at(id)->console->write(as_byte_view(text)); });
}
void FakeHost::add_leftover(const std::string& id) {
    on_thread([this, id] {
        api::broker::Launch order{};
        order.vm_id = api::VmId::parse(id).value().field();
        start_shim(id, order);
    });
}
void FakeHost::want_ne_line(const std::string& id, uint32_t restarts) {
    on_thread([this, id, restarts] {
        send(shims_.at(id)->daemon,
             api::encode(api::shim::NeLineWanted{.restarts = restarts, .reserved = {}}));
    });
}
Fd FakeHost::ne_line(const std::string& id) {
    const auto line =
        on_thread([this, id] { return std::make_shared<Fd>(std::move(shims_.at(id)->ne_line)); });
    return std::move(*line);
}
void FakeHost::refuse_give_backs(const std::string& id, int times) {
    on_thread([this, id, times] { shims_.at(id)->give_backs_to_refuse = times; });
}
void FakeHost::refuse_next_memory(Error error) {
    on_thread([this, error] { refuse_memory_ = error; });
}
std::vector<std::string> FakeHost::orders() {
    return on_thread([this] { return orders_; });
}
void FakeHost::hold_epc(const std::string& id, uint64_t bytes) {
    on_thread([this, id, bytes] {
        auto& balloon = shims_.at(id)->balloon.value();
        balloon.held = bytes;
        balloon.reported = bytes;
    });
}

void FakeHost::refuse_next_budget(Error error) {
    on_thread([this, error] { refuse_budget_ = error; });
}
void FakeHost::refuse_next_limit(Error error) {
    on_thread([this, error] { refuse_limit_ = error; });
}
void FakeHost::close_broker() {
    on_thread([this] {
        loop_->unwatch(std::exchange(listener_watch_, 0));
        loop_->unwatch(std::exchange(daemon_watch_, 0));
        listener_.reset();
        daemon_ = Channel();
    });
}
void FakeHost::open_broker() {
    on_thread([this] { listen(); });
}

std::vector<api::broker::Launch> FakeHost::launches() {
    return on_thread([this] { return launches_; });
}
std::vector<std::string> FakeHost::removed() {
    return on_thread([this] { return removed_; });
}
std::vector<std::string> FakeHost::present() {
    return on_thread([this] {
        std::vector<std::string> ids;
        for (const auto& [id, shim] : shims_)
            ids.push_back(id);
        return ids;
    });
}
std::string FakeHost::image_content(const std::string& id) {
    return on_thread([this, id] { return images_[id]; });
}
size_t FakeHost::disk_count(const std::string& id) {
    return on_thread([this, id] { return disks_[id]; });
}
int FakeHost::attaches(const std::string& id) {
    return on_thread([this, id] {
        const auto found = shims_.find(id);
        return found == shims_.end() ? 0 : found->second->attaches;
    });
}

TestDirectory::TestDirectory() {
    // In memory where that is possible: the store syncs every change.
    std::string pattern = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/alcoved-XXXXXX" : "/tmp/alcoved-XXXXXX";
    ALCOVE_CHECK(::mkdtemp(pattern.data()) != nullptr, "a temporary directory can be made");
    path_ = pattern;
}
TestDirectory::~TestDirectory() {
    std::filesystem::remove_all(path_);
}

}  // namespace alcove::daemon
