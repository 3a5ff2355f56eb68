// SPDX-License-Identifier: Apache-2.0
#include "vmm/enclave_vmm.hpp"

#include <chrono>
#include <utility>

#include "eif/image.hpp"
#include "support/log.hpp"
#include "support/mapping.hpp"
#include "vmm/sandbox.hpp"
#include "vmm/statistics.hpp"

namespace alcove::vmm {

namespace {

namespace messages = api::vmm;

constexpr uint16_t kNoVcpu = 0xffff;

uint64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace

Result<void> EnclaveVmm::run(Channel channel) {
    auto loop = TRY(EventLoop::create());
    EnclaveVmm vmm(std::move(loop));
    vmm.shim_ = TRY(api::Connection::create(
        *vmm.loop_, std::move(channel), api::Protocol::Vmm, messages::kVersions,
        {.on_open = {},
         .on_message = [&vmm](const api::Envelope& envelope,
                              std::vector<Fd> fds) { return vmm.on_message(envelope, std::move(fds)); },
         .on_closed =
             [&vmm](const Error& error) {
                 vmm.finish_with(Failure{Error(error).context("line to the shim")});
             }}));
    TRY(vmm.loop_->run());
    return std::move(vmm.outcome_);
}

Result<void> EnclaveVmm::on_message(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    if (launch_received_ns_ == 0) {
        auto order = TRY(messages::decode_launch({.data = api::encode_raw(envelope.type, envelope.body, {}),
                                                  .descriptors = std::move(descriptors)}));
        launch(std::move(order));
        return {};
    }
    switch (envelope.type) {
        case messages::OpenPortReply::kType: {
            const auto reply = TRY(api::decode<messages::OpenPortReply>(envelope));
            return ports_.answered(reply, std::move(descriptors));
        }
        case messages::StatisticsRequest::kType: {
            const auto request = TRY(api::decode<messages::StatisticsRequest>(envelope));
            const auto entries =
                collect_statistics({.machine = *machine_,
                                    .vsock = *vsock_,
                                    .host_backend = *host_backend_,
                                    .nsm = *nsm_,
                                    .console_bytes = console_bytes_.load(std::memory_order_relaxed)});
            shim_->send(messages::encode_statistics(request.request, entries));
            return {};
        }
        case messages::Stop::kType:
            machine_->stop();
            return {};
        default:
            return fail(ErrorCode::InvalidMessage, "unknown message from the shim");
    }
}

void EnclaveVmm::launch(messages::LaunchOrder order) {
    launch_received_ns_ = now_ns();
    auto launched = build(std::move(order));
    if (launched) launched = start();
    // The shim shows it to the user: why there is no enclave.
    if (!launched) {
        shim_->send(api::encode_failed(0, launched.error()));
        finish_with(std::move(launched));
    }
}

Result<void> EnclaveVmm::build(messages::LaunchOrder order) {
    TRY(cpu::VcpuThread::install_kick_signal());
    const auto& launch = order.launch;
    auto& descriptors = order.descriptors;

    const auto file = TRY(Mapping::shared_read_only(descriptors.image, launch.image_size));
    const auto image = TRY(eif::Image::parse(file.bytes()));

    if ((launch.flags & messages::Launch::kDebug) != 0)
        console_ = TRY(api::ConsoleRingWriter::open(descriptors.console_ring));
    machine::MachinePlan plan;
    plan.kvm = std::move(descriptors.kvm);
    plan.ram = std::move(descriptors.ram);
    plan.memory_bytes = launch.memory_bytes;
    plan.vcpu_count = launch.vcpu_count;
    plan.discovery = boot::discovery_for(image.command_line());
    plan.console = [this](uint8_t byte) {
        console_bytes_.fetch_add(1, std::memory_order_relaxed);
        if (console_) console_->write({&byte, 1});
    };
    machine_ = TRY(machine::Machine::create(std::move(plan), *loop_));
    TRY(add_devices(launch, descriptors));

    boot::BootInputs inputs;
    inputs.kernel = image.kernel();
    inputs.ramdisks = image.ramdisks();
    inputs.command_line = std::string(image.command_line());
    TRY(machine_->load(std::move(inputs)));
    image_loaded_ns_ = now_ns();
    return {};
}

Result<void> EnclaveVmm::add_devices(const messages::Launch& launch,
                                     messages::LaunchDescriptors& descriptors) {
    const auto cid = static_cast<vsock::Cid>(uint64_t{launch.guest_cid});
    services_ = std::make_unique<vsock::Services>(
        *loop_, ports_, [this](const vsock::ServiceReport& report) { on_service(report); });
    vsock::HostBackend::Options options;
    options.guest_cid = cid;
    host_backend_ = std::make_unique<vsock::HostBackend>(*loop_, *services_, options);
    host_listener_ =
        TRY(vsock::HostListener::create(*loop_, *host_backend_, std::move(descriptors.connect_socket)));
    vsock_ =
        std::make_unique<vsock::VsockDevice>(*loop_, cid, std::vector<vsock::Backend*>{host_backend_.get()});
    attestor_ = TRY(nsm::AttestorSocket::create(*loop_, std::move(descriptors.attestor)));
    nsm_ = std::make_unique<nsm::NsmDevice>(*attestor_);
    rng_ = std::make_unique<virtio::RngDevice>(*loop_);
    // The order is part of the machine version: it decides windows and interrupts.
    TRY(machine_->add_virtio(*vsock_));
    TRY(machine_->add_virtio(*nsm_));
    return machine_->add_virtio(*rng_);
}

void EnclaveVmm::on_service(const vsock::ServiceReport& report) {
    using Kind = vsock::ServiceReport::Kind;
    const bool by_host = report.answerer == vsock::ServiceReport::Answerer::HostProgram;
    if (report.kind == Kind::Heartbeat && (by_host || report.is_valid)) {
        const auto by = by_host ? messages::ReadyAnsweredBy::HostProgram : messages::ReadyAnsweredBy::Alcove;
        shim_->send(api::encode(
            messages::Ready{.time_ns = now_ns(), .answered_by = static_cast<uint32_t>(by), .reserved = 0}));
    }
    if (report.kind == Kind::Status && report.end) {
        const auto kind = *report.end == vsock::ServiceReport::End::Signal ? messages::AppExitKind::Signalled
                                                                           : messages::AppExitKind::Exited;
        shim_->send(api::encode(messages::AppExit{
            .time_ns = now_ns(), .kind = static_cast<uint32_t>(kind), .value = report.number}));
    }
}

Result<void> EnclaveVmm::start() {
    TRY(enter_sandbox());
    shim_->send(api::encode(messages::Started{.launch_received_ns = launch_received_ns_,
                                              .image_loaded_ns = image_loaded_ns_,
                                              .first_instruction_ns = now_ns()}));
    return machine_->start([this](const machine::MachineEnd& end) { on_ended(end); });
}

void EnclaveVmm::on_ended(const machine::MachineEnd& end) {
    finish(end.reason, end.vcpu, end.detail);
}

void EnclaveVmm::finish(api::StopReason reason, std::optional<uint32_t> vcpu, const std::string& detail) {
    log::info("ended: {}{}{}", api::stop_reason_name(reason), detail.empty() ? "" : ": ", detail);
    const messages::Stopped stopped{.time_ns = now_ns(),
                                    .reason = static_cast<uint16_t>(reason),
                                    .vcpu = vcpu ? static_cast<uint16_t>(*vcpu) : kNoVcpu,
                                    .reserved = 0};
    shim_->send(api::encode(stopped, as_byte_view(detail)));
    finish_with({});
}

void EnclaveVmm::finish_with(Result<void> outcome) {
    outcome_ = std::move(outcome);
    loop_->stop();
}

}  // namespace alcove::vmm
