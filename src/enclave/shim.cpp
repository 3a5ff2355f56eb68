// SPDX-License-Identifier: Apache-2.0
#include "enclave/shim.hpp"

#include <algorithm>
#include <ctime>

#include <fcntl.h>

#include "api/console_ring.hpp"
#include "api/limits.hpp"
#include "enclave/image_room.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace shim = api::shim;
namespace vmm = api::vmm;

namespace {

constexpr uint32_t kMaxForceAfterMs = 60'000;
constexpr uint64_t kImageOffset = 8_MiB;  // in the memory of a carved enclave (nitro.md 1.11, 2.1)

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
            .debug = (order.start.flags & api::start::Start::kDebug) != 0,
            .carved = (order.start.flags & api::start::Start::kCarved) != 0,
            .enclaves = (order.start.flags & api::start::Start::kEnclaves) != 0};
}

// What is needed here again.
Result<void> copy_into(Fd& to, const Fd& from) {
    to = TRY(sys::duplicate(from.get()));
    return {};
}

bool is_budget_of(const api::Sgx& sgx, uint64_t mib) {
    return sgx.has_spill_file() && mib != 0 && mib <= sgx.epc_bytes() / 1_MiB;
}

// What a carved enclave will be, in the numbers that its launch needs.
Result<void> check_begin(const shim::Begin& wish, uint64_t memory_bytes, uint32_t page_size) {
    const auto refuse = [](const char* what) {
        return fail(ErrorCode::InvalidArgument, std::string("begin: ") + what);
    };
    if ((wish.flags & ~shim::Begin::kDebug) != 0) return refuse("unknown flags");
    if (wish.vcpu_count < 1 || wish.vcpu_count > api::kMaxVcpus) return refuse("vCPU count out of range");
    if (!api::is_threads_per_core(wish.threads_per_core, wish.vcpu_count))
        return refuse("no such number of threads in a core");
    if (!api::is_guest_cid(wish.guest_cid)) return refuse("guest CID out of range");
    if (wish.memory_bytes != memory_bytes) return refuse("another size than that of the memory added");
    if (!api::is_memory_size(memory_bytes, page_size)) return refuse("memory size out of range");
    return {};
}

}  // namespace

Shim::Shim(EventLoop& loop, api::start::Order order, PreparationWork work, std::function<void()> on_released)
    : loop_(loop),
      order_(std::move(order)),
      work_(std::move(work)),
      on_released_(std::move(on_released)),
      lifecycle_(id_of(order_), traits_of(order_), order_.start.vmm_pid, now_ns()),
      statistics_(loop, [this](Bytes answer) { door_->send(std::move(answer)); }),
      sgx_(loop, [this](Bytes answer) { door_->send(std::move(answer)); }),
      attestor_(loop, attestor_socket_of(order_)) {}

Result<std::unique_ptr<Shim>> Shim::create(EventLoop& loop, api::start::Order order, PreparationWork work,
                                           std::function<void()> on_released) {
    std::unique_ptr<Shim> shim(new Shim(loop, std::move(order), std::move(work), std::move(on_released)));
    TRY(shim->connect());
    return shim;
}

Shim::~Shim() {
    loop_.cancel(kill_timer_);
    loop_.cancel(life_timer_);
    loop_.cancel(release_timer_);
    // Whoever ends this early must not leave a VMM behind that nobody keeps.
    if (child_ != nullptr && !lifecycle_.has_ended()) child_->kill();
}

Result<void> Shim::connect() {
    auto& fds = order_.descriptors;
    vmm_log_ = TRY(VmmLog::create(loop_, std::move(fds.vmm_log)));
    TRY(connect_child());
    ports_ = std::make_unique<PortOpener>(std::move(fds.folder));
    door_ = TRY(DaemonDoor::create(loop_, std::move(fds.daemon_listener), order_.start.daemon_uid,
                                   {.on_message =
                                        [this](const api::Envelope& envelope, std::vector<Fd> descriptors) {
                                            return on_request(envelope, std::move(descriptors));
                                        },
                                    .on_replaced =
                                        [this] {
                                            attached_ = false;
                                            statistics_.forget_waiting();
                                            sgx_.forget_waiting();
                                            if (carved_ != nullptr) carved_->forget_waiting();
                                        }}));
    TRY(make_console());
    return prepare();
}

Result<void> Shim::make_console() {
    if (!lifecycle_.has_console()) return {};
    console_for_writing_ = TRY(api::make_console_ring());
    console_for_reading_ =
        TRY(sys::open("/proc/self/fd/" + std::to_string(console_for_writing_.get()), O_RDONLY));
    return {};
}

// The file that a carved enclave comes with is not its image but the primary's memory.
Result<void> Shim::prepare() {
    const auto& start = order_.start;
    auto file = std::move(order_.descriptors.image);
    preparation_ = std::make_unique<Preparation>(loop_, work_, preparation_callbacks());
    if (lifecycle_.is_carved()) {
        auto memory = TRY(CarvedMemory::create(
            loop_, std::move(file), {.bytes = start.memory_bytes, .page_size = start.page_size}, work_));
        carved_ = std::make_unique<MemoryRequests>(std::move(memory),
                                                   [this](Bytes answer) { door_->send(std::move(answer)); });
        return {};
    }
    preparation_->take_image(std::move(file), {.bytes = start.image_size}, start.memory_bytes);
    preparation_->reserve_memory(start.memory_bytes, start.page_size, {});
    return {};
}

Result<void> Shim::connect_child() {
    auto& fds = order_.descriptors;
    child_ = TRY(
        ChildProcess::watch(loop_, std::move(fds.vmm_pidfd), std::move(fds.vmm_kill), [this](ProcessEnd end) {
            if (vmm_ != nullptr) vmm_->finish();
            vmm_log_->drain();
            apply(lifecycle_.vmm_gone(end, vmm_log_->last_line(), now_ns()));
            if (carved_ != nullptr) carved_->vmm_ended();
            fail_questions(Error(ErrorCode::EnclaveDied, "the VM has ended"));
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
            [this](shim::Progress progress) {
                if (attached_) door_->send(api::encode(progress));
            },
        .on_image =
            [this](Result<TakenImage> taken) {
                if (!taken) return apply(lifecycle_.preparation_failed(taken.error()));
                image_ = std::move(taken->image);
                order_.start.image_size = taken->bytes;
                facts_ = taken->facts;
                apply(lifecycle_.image_accepted(facts_, now_ns()));
                if (attached_) tell_metadata();
            },
        .on_memory =
            [this](Result<Fd> ram) {
                if (!ram) return apply(lifecycle_.preparation_failed(ram.error()));
                ram_ = std::move(*ram);
                apply(lifecycle_.memory_usable());
            },
        .on_memory_reserved =
            [this](Result<void> reserved) {
                apply(reserved ? lifecycle_.memory_reserved()
                               : lifecycle_.preparation_failed(reserved.error()));
            },
        .on_sealed = [this](Result<api::attestor::ResumeToken> token) { sealed(token); },
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
        .on_ne_line_wanted = [this] { apply(lifecycle_.ne_line_wanted()); },
        .on_statistics = [this](const vmm::StatisticsReply& reply) { statistics_.answer(reply); },
        .on_sgx = [this](const vmm::SgxReply& reply) { sgx_answered(reply); },
        .on_sgx_refused = [this](const api::FailedRequest& refusal) { sgx_.refuse(refusal); },
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
                fail_questions(Error(ErrorCode::EnclaveNotReady, "the VM is between two lives"));
            },
        .on_protocol_broken = [this](const Error& error) { apply(lifecycle_.protocol_broken(error)); },
    };
}

void Shim::apply(const Effects& effects) {
    if (effects.stop_preparing) let_go();
    if (effects.take_image) take_image_from_memory();
    if (effects.clear_memory) clear_memory();
    if (effects.complete_memory) complete_memory();
    if (effects.attest) attest();
    if (effects.begin_anew) begin_anew();
    if (effects.launch) launch();
    if (effects.send_stop) vmm_->send(api::encode(vmm::Stop{}));
    if (effects.end_lives) lives_->close();
    if (effects.resume_at_attestor) resume_at_attestor();
    if (effects.ask_for_ne_line) ask_for_ne_line();
    if (effects.leave_attestor && !sealing_) attestor_.forget();
    if (effects.kill) child_->kill();
    if (effects.kill_after.count() != 0) {
        loop_.cancel(kill_timer_);
        kill_timer_ = loop_.after(effects.kill_after, [this] { apply(lifecycle_.overdue()); });
    }
    publish();
}

// What was meant for the VMM and will not be needed. The attestor sees this VM's connection close.
void Shim::let_go() {
    preparation_->cancel();
    if (carved_ != nullptr) carved_->memory().cancel();
    loop_.cancel(life_timer_);
    ram_.reset();
    image_.reset();
    console_for_writing_.reset();
    order_.descriptors.kvm.reset();
    order_.descriptors.attestor.reset();
    order_.descriptors.connect_listener.reset();
    order_.descriptors.disks.clear();
    order_.descriptors.spill.reset();
    order_.descriptors.epc.clear();
    order_.descriptors.provision.reset();
    order_.descriptors.networks.clear();
    fabric_.give_back();
}

void Shim::attest() {
    auto copy = sys::duplicate(order_.descriptors.attestor.get());
    if (!copy) return apply(lifecycle_.preparation_failed(copy.error()));
    const bool debug = (lifecycle_.state().flags & shim::State::kDebug) != 0;
    sealing_ = true;
    preparation_->seal(std::move(*copy), facts_, debug ? api::attestor::Measured::kDebug : 0);
}

// The VM may have ended since the attestor was told. Without its token nobody could take leave there.
void Shim::sealed(const Result<api::attestor::ResumeToken>& token) {
    sealing_ = false;
    if (token) attestor_.keep(*token);
    if (lifecycle_.has_ended()) return attestor_.forget();
    apply(token ? lifecycle_.attested()
                : lifecycle_.preparation_failed(Error(token.error()).context("sealing the measurements")));
}

void Shim::take_image_from_memory() {
    const auto& memory = carved_->memory();
    auto copy = sys::duplicate(memory.file().get());
    if (!copy) return apply(lifecycle_.preparation_failed(copy.error()));
    preparation_->take_image(std::move(*copy), {.offset = kImageOffset}, memory.bytes(),
                             order_.start.page_size);
}

void Shim::clear_memory() {
    const auto room = room_for_image(order_.start.image_size, carved_->memory().bytes());
    carved_->clear(room.value_or(memory::FileRange{}), [this](Result<void> cleared) {
        apply(cleared ? lifecycle_.memory_usable() : lifecycle_.preparation_failed(cleared.error()));
    });
}

void Shim::complete_memory() {
    carved_->complete([this](Result<void> completed) {
        apply(completed ? lifecycle_.memory_reserved() : lifecycle_.preparation_failed(completed.error()));
    });
}

void Shim::launch() {
    const auto& start = order_.start;
    vmm::LaunchOrder order;
    order.launch.vm_id = start.vm_id;
    order.launch.machine_version = api::kMachineVersion;
    order.launch.flags =
        (lifecycle_.has_console() ? vmm::Launch::kConsole : 0) |
        (lifecycle_.is_carved() ? vmm::Launch::kCarved : 0) |
        (lifecycle_.has_enclaves() ? vmm::Launch::kEnclaves : 0) |
        ((start.flags & api::start::Start::kProvisioned) != 0 ? vmm::Launch::kProvisioned : 0);
    order.launch.vcpu_count = start.vcpu_count;
    order.launch.page_size = start.page_size;
    order.launch.memory_bytes = start.memory_bytes;
    order.launch.image_size = start.image_size;
    order.launch.guest_cid = start.guest_cid;
    order.launch.console_ring_bytes =
        lifecycle_.has_console() ? static_cast<uint32_t>(api::kConsoleRingBytes) : 0;
    order.launch.role = start.role;
    order.launch.disk_count = start.disk_count;
    order.launch.threads_per_core = start.threads_per_core;
    order.launch.networks = start.networks;
    order.launch.sgx = start.sgx;
    auto descriptors = launch_descriptors();
    if (!descriptors) return apply(lifecycle_.preparation_failed(descriptors.error()));
    order.descriptors = std::move(*descriptors);
    if (const auto begun = begin_life(); !begun) return apply(lifecycle_.preparation_failed(begun.error()));
    vmm_->launch(std::move(order));
    fabric_.launched();
}

// Nothing of an enclave's own stays here: it is freed when the VMM ends; but for memory that a primary VM
// will have back. A primary VM's next life has the same files again, but not the memory.
Result<vmm::LaunchDescriptors> Shim::launch_descriptors() {
    auto& ours = order_.descriptors;
    vmm::LaunchDescriptors given;
    if (lifecycle_.is_carved() || lifecycle_.has_enclaves()) {
        TRY(copy_into(given.ram, lifecycle_.is_carved() ? carved_->memory().file() : ram_));
    } else {
        given.ram = std::move(ram_);
    }
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
    if (ours.spill.is_open()) TRY(copy_into(given.spill, ours.spill));
    for (const auto& epc : ours.epc)
        TRY(copy_into(given.epc.emplace_back(), epc));
    if (ours.provision.is_open()) TRY(copy_into(given.provision, ours.provision));
    for (const auto& disk : ours.disks)
        TRY(copy_into(given.disks.emplace_back(), disk));
    for (const auto& network : ours.networks)
        TRY(copy_into(given.networks.emplace_back(), network));
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
    preparation_->cancel();  // it may still reserve what this life had
    life_timer_ = loop_.at(life_began_ + kShortestLife, [this] {
        preparation_ = std::make_unique<Preparation>(loop_, work_, preparation_callbacks());
        preparation_->reserve_memory(order_.start.memory_bytes, order_.start.page_size, std::move(ram_));
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

void Shim::ask_for_ne_line() {
    if (!attached_) return;
    door_->send(api::encode(shim::NeLineWanted{.restarts = lifecycle_.state().restarts, .reserved = {}}));
}

Result<void> Shim::on_request(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    switch (envelope.type) {
        case shim::Attach::kType:
            return serve(envelope, &Shim::attach);
        case shim::Stop::kType:
            return serve(envelope, &Shim::stop);
        case shim::StatisticsRequest::kType:
            return serve(envelope, &Shim::ask_statistics);
        case shim::SgxRequest::kType:
            return serve(envelope, &Shim::ask_sgx);
        case shim::Console::kType:
            return serve(envelope, &Shim::give_console);
        case shim::GetPidfd::kType:
            return serve(envelope, &Shim::give_pidfd);
        case shim::AddMemory::kType:
            return serve(envelope, &Shim::add_memory);
        case shim::Begin::kType:
            return serve(envelope, &Shim::begin);
        case shim::GiveBack::kType:
            return serve(envelope, &Shim::give_memory_back);
        case shim::GetRam::kType:
            return serve(envelope, &Shim::give_ram);
        case shim::NeLine::kType:
            return pass_ne_line(envelope, std::move(descriptors));
        case shim::FabricJoin::kType:
            return join_fabric(envelope, std::move(descriptors));
        case shim::FabricLeave::kType:
            return serve(envelope, &Shim::leave_fabric);
        case shim::Release::kType:
            return serve(envelope, &Shim::release);
        default:
            return fail(ErrorCode::InvalidMessage,
                        "a request of unknown type " + std::to_string(envelope.type));
    }
}

template <typename T>
Result<void> Shim::serve(const api::Envelope& envelope, void (Shim::*handler)(const T&)) {
    const auto wish = TRY(api::decode<T>(envelope));
    (this->*handler)(wish);
    return {};
}

void Shim::done(uint32_t request) {
    door_->send(api::encode(shim::Done{.request = request, .reserved = {}}));
}

void Shim::refuse(uint32_t request, ErrorCode code, std::string why) {
    door_->send(api::encode_failed(request, Error(code, std::move(why))));
}

void Shim::answer(uint32_t request, const Result<void>& outcome) {
    door_->send(outcome ? api::encode(shim::Done{.request = request, .reserved = {}})
                        : api::encode_failed(request, outcome.error()));
}

Result<void> Shim::join_fabric(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    const auto wish = TRY(api::decode<shim::FabricJoin>(envelope));
    auto peer = TRY(shim::decode_fabric_join(envelope, std::move(descriptors)));
    answer(wish.request, fabric_.join(lifecycle_.phase(), std::move(peer)));
    return {};
}

void Shim::leave_fabric(const shim::FabricLeave& wish) {
    fabric_.leave(lifecycle_.phase(), wish.peer_cid);
    done(wish.request);
}

template <typename T>
void Shim::answer_with_copy(const T& answer, const Fd& descriptor) {
    auto copy = sys::duplicate(descriptor.get());
    if (!copy) return refuse(answer.request, copy.error().code(), copy.error().to_string());
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(*copy));
    door_->send(api::encode(answer), std::move(descriptors));
}

void Shim::attach(const shim::Attach& wish) {
    attached_ = true;
    published_.clear();
    auto state = lifecycle_.state();
    state.request = wish.request;
    door_->send(api::encode(state, as_byte_view(lifecycle_.detail())));
    tell_metadata();
    if (lifecycle_.is_ne_line_wanted()) ask_for_ne_line();
}

void Shim::tell_metadata() {
    if (facts_.metadata.empty()) return;
    door_->send(api::encode(shim::ImageMetadata{.request = 0, .reserved = {}}, facts_.metadata));
}

void Shim::stop(const shim::Stop& wish) {
    done(wish.request);
    const uint32_t patience = std::min<uint32_t>(wish.force_after_ms, kMaxForceAfterMs);
    apply(lifecycle_.stop_requested(std::chrono::milliseconds(patience)));
}

void Shim::ask_statistics(const shim::StatisticsRequest& wish) {
    if (!lifecycle_.is_running())
        return refuse(wish.request, ErrorCode::EnclaveNotReady, "the VM is not running");
    statistics_.ask(wish.request, [this](Bytes question) { vmm_->send(std::move(question)); });
}

void Shim::ask_sgx(const shim::SgxRequest& wish) {
    if (!order_.start.sgx.is_there())
        return refuse(wish.request, ErrorCode::InvalidArgument, "this VM has no SGX");
    const auto action = vmm::sgx_action_of(wish);
    if (!action) return refuse(wish.request, ErrorCode::InvalidArgument, "SGX knows no such action");
    if (action == vmm::SgxAction::SetBudget && !is_budget_of(order_.start.sgx, wish.mib))
        return refuse(wish.request, ErrorCode::InvalidArgument,
                      "its EPC has no budget, or can not have this one");
    const bool has_balloon = order_.start.sgx.has_balloon() && order_.start.sgx.can_have_balloon(wish.mib);
    if (action == vmm::SgxAction::SetBalloon && !has_balloon)
        return refuse(wish.request, ErrorCode::InvalidArgument,
                      "its EPC has no balloon, or can not have this one");
    if (!lifecycle_.is_running())
        return refuse(wish.request, ErrorCode::EnclaveNotReady, "the VM is not running");
    sgx_.ask(wish, [this](Bytes question) { vmm_->send(std::move(question)); });
}

// The VM's next life has the budget and the balloon that this one was given.
void Shim::sgx_answered(const vmm::SgxReply& reply) {
    const auto question = sgx_.answer(reply);
    if (!question) return;
    const auto action = vmm::sgx_action_of(*question);
    const auto mib = static_cast<uint32_t>(uint64_t{question->mib});
    if (action == vmm::SgxAction::SetBudget) order_.start.sgx.budget_mib = mib;
    if (action == vmm::SgxAction::SetBalloon) order_.start.sgx.balloon_mib = mib;
}

// What the VMM that is gone was asked.
void Shim::fail_questions(const Error& error) {
    statistics_.fail(error);
    sgx_.fail(error);
}

void Shim::give_console(const shim::Console& wish) {
    if (!console_for_reading_.is_open())
        return refuse(wish.request, ErrorCode::EnclaveNotDebug, "this enclave does not run in debug mode");
    answer_with_copy(shim::ConsoleRing{.request = wish.request,
                                       .ring_bytes = static_cast<uint32_t>(api::kConsoleRingBytes)},
                     console_for_reading_);
}

void Shim::give_pidfd(const shim::GetPidfd& wish) {
    answer_with_copy(shim::Pidfd{.request = wish.request, .vmm_pid = order_.start.vmm_pid}, child_->pidfd());
}

void Shim::add_memory(const shim::AddMemory& wish) {
    if (lifecycle_.phase() != shim::Phase::Gathering)
        return refuse(wish.request, ErrorCode::InvalidArgument, "only an enclave that gathers takes memory");
    carved_->add(wish);
}

void Shim::begin(const shim::Begin& wish) {
    auto& start = order_.start;
    if (lifecycle_.phase() != shim::Phase::Gathering)
        return refuse(wish.request, ErrorCode::InvalidArgument, "only an enclave that gathers is begun");
    if (carved_->memory().is_busy())
        return refuse(wish.request, ErrorCode::Busy, "the enclave's memory is being changed");
    const auto checked = check_begin(wish, carved_->memory().bytes(), start.page_size);
    if (!checked) return refuse(wish.request, checked.error().code(), checked.error().to_string());
    start.vcpu_count = wish.vcpu_count;
    start.threads_per_core = wish.threads_per_core;
    start.guest_cid = wish.guest_cid;
    start.memory_bytes = wish.memory_bytes;
    done(wish.request);
    const bool debug = (wish.flags & shim::Begin::kDebug) != 0;
    const auto effects = lifecycle_.begin(debug ? Lifecycle::Mode::Debug : Lifecycle::Mode::Production);
    const auto console = make_console();
    apply(console ? effects : lifecycle_.preparation_failed(console.error()));
}

void Shim::give_memory_back(const shim::GiveBack& wish) {
    if (carved_ == nullptr)
        return refuse(wish.request, ErrorCode::InvalidArgument, "this VM has nobody's memory");
    apply(lifecycle_.memory_wanted_back());
    carved_->give_back(wish);
}

void Shim::give_ram(const shim::GetRam& wish) {
    if (!lifecycle_.has_enclaves())
        return refuse(wish.request, ErrorCode::InvalidArgument, "this VM has no enclaves");
    if (!lifecycle_.is_running() || !ram_.is_open())
        return refuse(wish.request, ErrorCode::EnclaveNotReady, "the VM is not running");
    answer_with_copy(
        shim::Ram{
            .request = wish.request, .page_size = order_.start.page_size, .bytes = order_.start.memory_bytes},
        ram_);
}

Result<void> Shim::pass_ne_line(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    const auto wish = TRY(api::decode<shim::NeLine>(envelope));
    if (descriptors.size() != 1) return fail(ErrorCode::InvalidMessage, "a line for a VMM is one descriptor");
    if (!lifecycle_.is_ne_line_wanted() || !lifecycle_.is_life(wish.restarts)) {
        refuse(wish.request, ErrorCode::NotFound, "no VMM waits for this line");
        return {};
    }
    lifecycle_.ne_line_given();
    vmm_->send(api::encode(vmm::NeLine{}), std::move(descriptors));
    done(wish.request);
    return {};
}

void Shim::release(const shim::Release& wish) {
    if (!lifecycle_.is_ending()) return refuse(wish.request, ErrorCode::Busy, "the VM has not ended");
    release_when_over(wish.request, EventLoop::Clock::now() + kReleasePatience);
}

void Shim::release_when_over(uint32_t request, EventLoop::Clock::time_point deadline) {
    constexpr std::chrono::milliseconds kAgain(10);
    const bool over = lifecycle_.has_ended() && !sealing_ && attestor_.is_idle();
    if (!over && EventLoop::Clock::now() < deadline) {
        loop_.cancel(release_timer_);
        release_timer_ =
            loop_.after(kAgain, [this, request, deadline] { release_when_over(request, deadline); });
        return;
    }
    if (!lifecycle_.has_ended()) return refuse(request, ErrorCode::Busy, "the VM is still ending");
    if (carved_ != nullptr && carved_->memory().is_busy())
        return refuse(request, ErrorCode::Busy, "the enclave's memory is being changed");
    done(request);
    // Posted, so that the answer is on its way before whoever waits for this ends the process.
    loop_.post([released = std::exchange(on_released_, [] {})] { released(); });
}

}  // namespace alcove::enclave
