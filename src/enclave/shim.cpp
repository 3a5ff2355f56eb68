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

bool is_debug(const api::start::Order& order) {
    return (order.start.flags & api::start::Start::kDebug) != 0;
}

}  // namespace

Shim::Shim(EventLoop& loop, api::start::Order order, std::function<void()> on_released)
    : loop_(loop),
      order_(std::move(order)),
      on_released_(std::move(on_released)),
      lifecycle_(id_of(order_), is_debug(order_), order_.start.vmm_pid, now_ns()) {}

Result<std::unique_ptr<Shim>> Shim::create(EventLoop& loop, api::start::Order order, PreparationWork work,
                                           std::function<void()> on_released) {
    std::unique_ptr<Shim> shim(new Shim(loop, std::move(order), std::move(on_released)));
    TRY(shim->connect(std::move(work)));
    return shim;
}

Shim::~Shim() {
    loop_.cancel(kill_timer_);
    loop_.cancel(statistics_timer_);
    // Whoever ends this early must not leave a VMM behind that nobody keeps.
    if (vmm_ != nullptr && !lifecycle_.has_ended()) vmm_->kill();
}

Result<void> Shim::connect(PreparationWork work) {
    auto& fds = order_.descriptors;
    vmm_log_ = TRY(VmmLog::create(loop_, std::move(fds.vmm_log)));
    vmm_ = TRY(VmmLink::create(loop_,
                               {.channel = std::move(fds.vmm_channel),
                                .pidfd = std::move(fds.vmm_pidfd),
                                .kill = std::move(fds.vmm_kill)},
                               vmm_callbacks()));
    ports_ = std::make_unique<PortOpener>(std::move(fds.folder));
    door_ = TRY(DaemonDoor::create(
        loop_, std::move(fds.daemon_listener), order_.start.daemon_uid,
        {.on_message = [this](const api::Envelope& envelope) { return on_request(envelope); },
         .on_replaced =
             [this] {
                 attached_ = false;
                 statistics_waiting_.clear();
             }}));
    if (is_debug(order_)) {
        console_for_writing_ = TRY(api::make_console_ring());
        console_for_reading_ =
            TRY(sys::open("/proc/self/fd/" + std::to_string(console_for_writing_.get()), O_RDONLY));
    }
    preparation_ = std::make_unique<Preparation>(loop_, std::move(work), preparation_callbacks());
    preparation_->take_image(std::move(fds.image), order_.start.image_size, order_.start.memory_bytes);
    preparation_->reserve_memory(order_.start.memory_bytes, order_.start.page_size);
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
                resume_token_ = *token;
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
        .on_statistics = [this](const vmm::StatisticsReply& reply) { give_statistics(reply); },
        .on_refused = [this](const Error& error) { apply(lifecycle_.launch_refused(error)); },
        .on_protocol_broken = [this](const Error& error) { apply(lifecycle_.protocol_broken(error)); },
        .on_channel_lost = [this] { apply(lifecycle_.channel_lost()); },
        .on_gone =
            [this](ProcessEnd end) {
                vmm_log_->drain();
                apply(lifecycle_.vmm_gone(end, vmm_log_->last_line(), now_ns()));
                fail_statistics(Error(ErrorCode::EnclaveDied, "the enclave has ended"));
            },
    };
}

void Shim::apply(const Effects& effects) {
    if (effects.stop_preparing) give_back();
    if (effects.attest) {
        auto copy = sys::duplicate(order_.descriptors.attestor.get());
        if (!copy) return apply(lifecycle_.preparation_failed(copy.error()));
        preparation_->seal(std::move(*copy), facts_);
    }
    if (effects.launch) launch();
    if (effects.send_stop) vmm_->send(api::encode(vmm::Stop{}));
    if (effects.kill) vmm_->kill();
    if (effects.kill_after.count() != 0) {
        loop_.cancel(kill_timer_);
        kill_timer_ = loop_.after(effects.kill_after, [this] { apply(lifecycle_.overdue()); });
    }
    publish();
}

// What was meant for the VMM and will not be needed. The attestor sees this VM's connection close.
void Shim::give_back() {
    preparation_->cancel();
    ram_.reset();
    image_.reset();
    console_for_writing_.reset();
    order_.descriptors.kvm.reset();
    order_.descriptors.attestor.reset();
    order_.descriptors.connect_listener.reset();
}

void Shim::launch() {
    const auto& start = order_.start;
    vmm::LaunchOrder order;
    order.launch.vm_id = start.vm_id;
    order.launch.machine_version = api::kMachineVersion;
    order.launch.flags = lifecycle_.is_debug() ? vmm::Launch::kDebug : 0;
    order.launch.vcpu_count = start.vcpu_count;
    order.launch.page_size = start.page_size;
    order.launch.memory_bytes = start.memory_bytes;
    order.launch.image_size = start.image_size;
    order.launch.guest_cid = start.guest_cid;
    order.launch.console_ring_bytes =
        lifecycle_.is_debug() ? static_cast<uint32_t>(api::kConsoleRingBytes) : 0;
    // Nothing of the enclave's own stays here: its memory is freed when the VMM ends.
    order.descriptors = {.kvm = std::move(order_.descriptors.kvm),
                         .ram = std::move(ram_),
                         .image = std::move(image_),
                         .attestor = std::move(order_.descriptors.attestor),
                         .connect_socket = std::move(order_.descriptors.connect_listener),
                         .console_ring = std::move(console_for_writing_)};
    vmm_->launch(std::move(order));
}

void Shim::publish() {
    if (!attached_) return;
    auto message = api::encode(lifecycle_.state(), as_byte_view(lifecycle_.detail()));
    if (message == published_) return;  // not every event changes what the daemon sees
    published_ = message;
    door_->send(std::move(message));
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
    if (!lifecycle_.is_running())
        return refuse(request, ErrorCode::EnclaveNotReady, "the enclave is not running");
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
    auto copy = sys::duplicate(vmm_->pidfd().get());
    if (!copy) return refuse(request, copy.error().code(), copy.error().to_string());
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(*copy));
    door_->send(api::encode(shim::Pidfd{.request = request, .vmm_pid = order_.start.vmm_pid}),
                std::move(descriptors));
}

void Shim::release(uint32_t request) {
    if (!lifecycle_.has_ended()) return refuse(request, ErrorCode::Busy, "the enclave has not ended");
    door_->send(api::encode(shim::Done{.request = request, .reserved = {}}));
    // Posted, so that the answer is on its way before whoever waits for this ends the process.
    loop_.post([released = std::exchange(on_released_, [] {})] { released(); });
}

}  // namespace alcove::enclave
