// SPDX-License-Identifier: Apache-2.0
#include "enclave/shim.hpp"

#include <algorithm>
#include <ctime>

#include <fcntl.h>

#include "api/console_ring.hpp"
#include "api/limits.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace shim = api::shim;
namespace vmm = api::vmm;

namespace {

constexpr std::chrono::seconds kStatisticsTimeout(3);
constexpr uint32_t kMaxForceAfterMs = 60'000;

uint64_t now_ns() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

api::VmId id_of(const api::start::Order& order) {
    auto id = api::VmId::parse(order.start.vm_id);
    ALCOVE_CHECK(id.has_value(), "receive_start has checked the id");
    return std::move(*id);
}

std::string attestor_socket_of(const api::start::Order& order) {
    const auto path = order.start.attestor_socket.text();
    ALCOVE_CHECK(path.has_value(), "receive_start has checked the path");
    return std::string(*path);
}

Lifecycle::Traits traits_of(const api::start::Order& order) {
    return {.role = static_cast<api::VmRole>(uint32_t{order.start.role}),
            .debug = (order.start.flags & api::start::Start::kDebug) != 0};
}

// What a primary VM's next life will need again.
Result<void> copy_into(Fd& to, const Fd& from) {
    to = TRY(sys::duplicate(from.get()));
    return {};
}

}  // namespace

Shim::Shim(EventLoop& loop, api::start::Order order, PreparationWork work, std::function<void()> on_released)
    : loop_(loop),
      order_(std::move(order)),
      work_(std::move(work)),
      on_released_(std::move(on_released)),
      lifecycle_(id_of(order_), traits_of(order_), order_.start.vmm_pid, now_ns()),
      attestor_(loop, attestor_socket_of(order_)) {}

Result<std::unique_ptr<Shim>> Shim::create(EventLoop& loop, api::start::Order order, PreparationWork work,
                                           std::function<void()> on_released) {
    std::unique_ptr<Shim> shim(new Shim(loop, std::move(order), std::move(work), std::move(on_released)));
    TRY(shim->connect());
    return shim;
}

Shim::~Shim() {
    loop_.cancel(kill_timer_);
    loop_.cancel(statistics_timer_);
    loop_.cancel(life_timer_);
    // Whoever ends this early must not leave a VMM behind that nobody keeps.
    if (child_ != nullptr && !lifecycle_.has_ended()) child_->kill();
}

Result<void> Shim::connect() {
    auto& fds = order_.descriptors;
    vmm_log_ = TRY(VmmLog::create(loop_, std::move(fds.vmm_log)));
    TRY(connect_child());
    ports_ = std::make_unique<PortOpener>(std::move(fds.folder));
    door_ = TRY(DaemonDoor::create(
        loop_, std::move(fds.daemon_listener), order_.start.daemon_uid,
        {.on_message = [this](const api::Envelope& envelope) { return on_request(envelope); },
         .on_replaced =
             [this] {
                 attached_ = false;
                 statistics_waiting_.clear();
             }}));
    if (lifecycle_.has_console()) {
        console_for_writing_ = TRY(api::make_console_ring());
        console_for_reading_ =
            TRY(sys::open("/proc/self/fd/" + std::to_string(console_for_writing_.get()), O_RDONLY));
    }
    preparation_ = std::make_unique<Preparation>(loop_, work_, preparation_callbacks());
    preparation_->take_image(std::move(fds.image), order_.start.image_size, order_.start.memory_bytes);
    preparation_->reserve_memory(order_.start.memory_bytes, order_.start.page_size);
    return {};
}

Result<void> Shim::connect_child() {
    auto& fds = order_.descriptors;
    child_ = TRY(
        ChildProcess::watch(loop_, std::move(fds.vmm_pidfd), std::move(fds.vmm_kill), [this](ProcessEnd end) {
            if (vmm_ != nullptr) vmm_->finish();
            vmm_log_->drain();
            apply(lifecycle_.vmm_gone(end, vmm_log_->last_line(), now_ns()));
            fail_statistics(Error(ErrorCode::EnclaveDied, "the VM has ended"));
        }));
    if (lifecycle_.is_primary()) {
        lives_ = TRY(LivesLink::create(loop_, std::move(fds.vmm_channel), lives_callbacks()));
    } else {
        vmm_ = TRY(VmmLink::create(loop_, std::move(fds.vmm_channel), vmm_callbacks()));
    }
    return {};
}

Preparation::Callbacks Shim::preparation_callbacks() {
    return {
        .on_progress =
            [this](uint64_t done) {
                if (!attached_) return;
                door_->send(
                    api::encode(shim::Progress{.bytes_done = done, .bytes_total = order_.start.image_size}));
            },
        .on_image =
            [this](Result<TakenImage> taken) {
                if (!taken) return apply(lifecycle_.preparation_failed(taken.error()));
                image_ = std::move(taken->image);
                facts_ = taken->facts;
                apply(lifecycle_.image_accepted(facts_, now_ns()));
            },
        .on_memory =
            [this](Result<Fd> ram) {
                if (!ram) return apply(lifecycle_.preparation_failed(ram.error()));
                ram_ = std::move(*ram);
                apply(lifecycle_.memory_reserved());
            },
        .on_sealed =
            [this](Result<api::attestor::ResumeToken> token) {
                if (!token)
                    return apply(lifecycle_.preparation_failed(
                        Error(token.error()).context("sealing the measurements")));
                attestor_.keep(*token);
                apply(lifecycle_.attested());
            },
    };
}

VmmLink::Callbacks Shim::vmm_callbacks() {
    return {
        .on_started = [this](const vmm::Started& message) { apply(lifecycle_.started(message)); },
        .on_ready = [this](const vmm::Ready& message) { apply(lifecycle_.ready(message)); },
        .on_app_exit = [this](const vmm::AppExit& message) { apply(lifecycle_.app_exited(message)); },
        .on_stopped = [this](const vmm::Stopped& message,
                             const std::string& detail) { apply(lifecycle_.stopped(message, detail)); },
        .on_open_port = [this](const vmm::OpenPort& message) { open_port(message); },
        .on_attestor_lost = [this] { apply(lifecycle_.attestor_lost()); },
        .on_statistics = [this](const vmm::StatisticsReply& reply) { give_statistics(reply); },
        .on_refused = [this](const Error& error) { apply(lifecycle_.launch_refused(error)); },
        .on_protocol_broken = [this](const Error& error) { apply(lifecycle_.protocol_broken(error)); },
        .on_channel_lost = [this] { apply(lifecycle_.channel_lost()); },
    };
}

LivesLink::Callbacks Shim::lives_callbacks() {
    return {
        .on_begun = [this](uint32_t vmm_pid) { apply(lifecycle_.life_begun(vmm_pid)); },
        .on_ended =
            [this](ProcessEnd end) {
                vmm_->finish();
                vmm_log_->drain();
                apply(lifecycle_.life_ended(end, vmm_log_->last_line()));
                fail_statistics(Error(ErrorCode::EnclaveNotReady, "the VM is between two lives"));
            },
        .on_protocol_broken = [this](const Error& error) { apply(lifecycle_.protocol_broken(error)); },
    };
}

void Shim::apply(const Effects& effects) {
    if (effects.stop_preparing) give_back();
    if (effects.attest) {
        auto copy = sys::duplicate(order_.descriptors.attestor.get());
        if (!copy) return apply(lifecycle_.preparation_failed(copy.error()));
        preparation_->seal(std::move(*copy), facts_);
    }
    if (effects.begin_anew) begin_anew();
    if (effects.launch) launch();
    if (effects.send_stop) vmm_->send(api::encode(vmm::Stop{}));
    if (effects.end_lives) lives_->close();
    if (effects.resume_at_attestor) resume_at_attestor();
    if (effects.leave_attestor) attestor_.forget();
    if (effects.kill) child_->kill();
    if (effects.kill_after.count() != 0) {
        loop_.cancel(kill_timer_);
        kill_timer_ = loop_.after(effects.kill_after, [this] { apply(lifecycle_.overdue()); });
    }
    publish();
}

// What was meant for the VMM and will not be needed. The attestor sees this VM's connection close.
void Shim::give_back() {
    preparation_->cancel();
    loop_.cancel(life_timer_);
    ram_.reset();
    image_.reset();
    console_for_writing_.reset();
    order_.descriptors.kvm.reset();
    order_.descriptors.attestor.reset();
    order_.descriptors.connect_listener.reset();
    order_.descriptors.disks.clear();
}

void Shim::launch() {
    const auto& start = order_.start;
    vmm::LaunchOrder order;
    order.launch.vm_id = start.vm_id;
    order.launch.machine_version = api::kMachineVersion;
    order.launch.flags = lifecycle_.has_console() ? vmm::Launch::kConsole : 0;
    order.launch.vcpu_count = start.vcpu_count;
    order.launch.page_size = start.page_size;
    order.launch.memory_bytes = start.memory_bytes;
    order.launch.image_size = start.image_size;
    order.launch.guest_cid = start.guest_cid;
    order.launch.console_ring_bytes =
        lifecycle_.has_console() ? static_cast<uint32_t>(api::kConsoleRingBytes) : 0;
    order.launch.role = start.role;
    order.launch.disk_count = start.disk_count;
    auto descriptors = launch_descriptors();
    if (!descriptors) return apply(lifecycle_.preparation_failed(descriptors.error()));
    order.descriptors = std::move(*descriptors);
    if (const auto begun = begin_life(); !begun) return apply(lifecycle_.preparation_failed(begun.error()));
    vmm_->launch(std::move(order));
}

// Nothing of an enclave's own stays here: it is freed when the VMM ends. A primary VM's next life has the
// same files again, but not the memory.
Result<vmm::LaunchDescriptors> Shim::launch_descriptors() {
    auto& ours = order_.descriptors;
    vmm::LaunchDescriptors given;
    given.ram = std::move(ram_);
    if (!lifecycle_.is_primary()) {
        given.kvm = std::move(ours.kvm);
        given.image = std::move(image_);
        given.connect_socket = std::move(ours.connect_listener);
        given.attestor = std::move(ours.attestor);
        given.console_ring = std::move(console_for_writing_);
        return given;
    }
    TRY(copy_into(given.kvm, ours.kvm));
    TRY(copy_into(given.image, image_));
    TRY(copy_into(given.connect_socket, ours.connect_listener));
    TRY(copy_into(given.console_ring, console_for_writing_));
    for (const auto& disk : ours.disks)
        TRY(copy_into(given.disks.emplace_back(), disk));
    return given;
}

// An enclave's VMM waits for its launch since the beginning.
Result<void> Shim::begin_life() {
    if (!lifecycle_.is_primary()) return {};
    life_began_ = EventLoop::Clock::now();
    auto channel = TRY(lives_->begin());
    // What the former line's VMM said was handed on when it ended, so nothing calls back from there.
    vmm_ = TRY(VmmLink::create(loop_, std::move(channel), vmm_callbacks()));
    return {};
}

void Shim::begin_anew() {
    loop_.cancel(kill_timer_);
    log::info("the guest was reset; another life begins");
    life_timer_ = loop_.at(life_began_ + kShortestLife, [this] {
        preparation_ = std::make_unique<Preparation>(loop_, work_, preparation_callbacks());
        preparation_->reserve_memory(order_.start.memory_bytes, order_.start.page_size);
    });
}

void Shim::publish() {
    if (!attached_) return;
    auto message = api::encode(lifecycle_.state(), as_byte_view(lifecycle_.detail()));
    if (message == published_) return;  // not every event changes what the daemon sees
    published_ = message;
    door_->send(std::move(message));
}

void Shim::resume_at_attestor() {
    log::warn("the VMM has lost its line to alcove-attestor; there will be another as soon as that is back");
    attestor_.resume([this](Result<Fd> connection) {
        std::vector<Fd> descriptors;
        auto status = vmm::AttestorLineStatus::Gone;
        if (connection) {
            status = vmm::AttestorLineStatus::Resumed;
            descriptors.push_back(std::move(*connection));
            lifecycle_.attestor_resumed();
            log::info("the VMM has a line to alcove-attestor again");
        } else {
            log::error("no attestation for this VM any more: {}", connection.error().to_string());
        }
        vmm_->send(api::encode(vmm::AttestorLine{.status = static_cast<uint32_t>(status), .reserved = {}}),
                   std::move(descriptors));
    });
}

void Shim::open_port(const vmm::OpenPort& message) {
    auto opened = ports_->open(message.port, PortOpener::Clock::now());
    const vmm::OpenPortReply reply{.request = message.request,
                                   .port = message.port,
                                   .status = static_cast<uint32_t>(opened.status),
                                   .reserved = {}};
    std::vector<Fd> descriptors;
    if (opened.socket.is_open()) descriptors.push_back(std::move(opened.socket));
    vmm_->send(api::encode(reply), std::move(descriptors));
}

Result<void> Shim::on_request(const api::Envelope& envelope) {
    switch (envelope.type) {
        case shim::Attach::kType: {
            const auto request = TRY(api::decode<shim::Attach>(envelope));
            attach(request.request);
            return {};
        }
        case shim::Stop::kType: {
            const auto request = TRY(api::decode<shim::Stop>(envelope));
            stop(request.request, request.force_after_ms);
            return {};
        }
        case shim::StatisticsRequest::kType: {
            const auto request = TRY(api::decode<shim::StatisticsRequest>(envelope));
            ask_statistics(request.request);
            return {};
        }
        case shim::Console::kType: {
            const auto request = TRY(api::decode<shim::Console>(envelope));
            give_console(request.request);
            return {};
        }
        case shim::GetPidfd::kType: {
            const auto request = TRY(api::decode<shim::GetPidfd>(envelope));
            give_pidfd(request.request);
            return {};
        }
        case shim::Release::kType: {
            const auto request = TRY(api::decode<shim::Release>(envelope));
            release(request.request);
            return {};
        }
        default:
            return fail(ErrorCode::InvalidMessage,
                        "a request of unknown type " + std::to_string(envelope.type));
    }
}

void Shim::refuse(uint32_t request, ErrorCode code, std::string why) {
    door_->send(api::encode_failed(request, Error(code, std::move(why))));
}

void Shim::attach(uint32_t request) {
    attached_ = true;
    published_.clear();
    auto state = lifecycle_.state();
    state.request = request;
    door_->send(api::encode(state, as_byte_view(lifecycle_.detail())));
}

void Shim::stop(uint32_t request, uint32_t force_after_ms) {
    door_->send(api::encode(shim::Done{.request = request, .reserved = {}}));
    apply(lifecycle_.stop_requested(std::chrono::milliseconds(std::min(force_after_ms, kMaxForceAfterMs))));
}

void Shim::ask_statistics(uint32_t request) {
    if (!lifecycle_.is_running()) return refuse(request, ErrorCode::EnclaveNotReady, "the VM is not running");
    if (statistics_waiting_.size() >= 64)
        return refuse(request, ErrorCode::Busy, "too many requests for counters");
    statistics_waiting_.push_back(request);
    if (statistics_timer_ != 0) return;  // the VMM has been asked; its answer will do for all
    vmm_->send(api::encode(vmm::StatisticsRequest{.request = ++statistics_request_, .reserved = {}}));
    statistics_timer_ = loop_.after(kStatisticsTimeout, [this] {
        fail_statistics(Error(ErrorCode::Timeout, "the VMM does not answer"));
    });
}

void Shim::give_statistics(const vmm::StatisticsReply& reply) {
    if (statistics_timer_ == 0 || reply.request != statistics_request_) return;  // late, or made up
    loop_.cancel(statistics_timer_);
    statistics_timer_ = 0;
    for (const uint32_t request : std::exchange(statistics_waiting_, {}))
        door_->send(vmm::encode_statistics(request, reply.entries));
}

void Shim::fail_statistics(const Error& error) {
    loop_.cancel(statistics_timer_);
    statistics_timer_ = 0;
    for (const uint32_t request : std::exchange(statistics_waiting_, {}))
        door_->send(api::encode_failed(request, error));
}

void Shim::give_console(uint32_t request) {
    if (!console_for_reading_.is_open())
        return refuse(request, ErrorCode::EnclaveNotDebug, "this enclave does not run in debug mode");
    auto copy = sys::duplicate(console_for_reading_.get());
    if (!copy) return refuse(request, copy.error().code(), copy.error().to_string());
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(*copy));
    door_->send(api::encode(shim::ConsoleRing{.request = request,
                                              .ring_bytes = static_cast<uint32_t>(api::kConsoleRingBytes)}),
                std::move(descriptors));
}

void Shim::give_pidfd(uint32_t request) {
    auto copy = sys::duplicate(child_->pidfd().get());
    if (!copy) return refuse(request, copy.error().code(), copy.error().to_string());
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(*copy));
    door_->send(api::encode(shim::Pidfd{.request = request, .vmm_pid = order_.start.vmm_pid}),
                std::move(descriptors));
}

void Shim::release(uint32_t request) {
    if (!lifecycle_.has_ended()) return refuse(request, ErrorCode::Busy, "the VM has not ended");
    door_->send(api::encode(shim::Done{.request = request, .reserved = {}}));
    // Posted, so that the answer is on its way before whoever waits for this ends the process.
    loop_.post([released = std::exchange(on_released_, [] {})] { released(); });
}

}  // namespace alcove::enclave
