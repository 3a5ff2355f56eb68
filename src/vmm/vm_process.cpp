// SPDX-License-Identifier: Apache-2.0
#include "vmm/vm_process.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "eif/image.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"
#include "vmm/clock.hpp"
#include "vmm/sgx_messages.hpp"
#include "vmm/statistics.hpp"

namespace alcove::vmm {

namespace {

namespace messages = api::vmm;

constexpr uint16_t kNoVcpu = 0xffff;

// Nobody watches how a spill file is filled: no file that the VMM has is to become larger than the largest
// is.
Result<uint64_t> largest_file(const messages::LaunchOrder& order) {
    uint64_t largest = std::max<uint64_t>(order.launch.memory_bytes, order.launch.sgx.epc_bytes());
    for (const auto& disk : order.descriptors.disks) {
        const uint64_t size = TRY(sys::file_size(disk).context("a disk"));
        largest = std::max(largest, size);
    }
    return largest;
}

}  // namespace

Result<void> VmProcess::run(Channel channel, VcpuPlaces& places) {
    auto loop = TRY(EventLoop::create());
    VmProcess vmm(std::move(loop), places);
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

Result<void> VmProcess::on_message(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    if (launch_received_ns_ == 0) {
        auto order = TRY(messages::decode_launch(envelope, std::move(descriptors)));
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
            tell_statistics(request.request);
            return {};
        }
        case messages::SgxRequest::kType:
            return on_sgx_request(envelope);
        case messages::AttestorLine::kType: {
            const auto line = TRY(api::decode<messages::AttestorLine>(envelope));
            if (enclave_ == nullptr) return fail(ErrorCode::InvalidMessage, "this VM has no attestor");
            return enclave_->attestor_answered(line, std::move(descriptors));
        }
        case messages::NeLine::kType:
            return on_ne_line(envelope, std::move(descriptors));
        case messages::FabricJoin::kType:
            return join_fabric(envelope, std::move(descriptors));
        case messages::FabricLeave::kType: {
            const auto leave = TRY(api::decode<messages::FabricLeave>(envelope));
            if (fabric_ != nullptr) fabric_->leave(leave.peer_cid);
            return {};
        }
        case messages::Stop::kType:
            machine_->stop();
            return {};
        default:
            return fail(ErrorCode::InvalidMessage, "unknown message from the shim");
    }
}

Result<void> VmProcess::on_ne_line(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    TRY(api::decode<messages::NeLine>(envelope));
    if (primary_ == nullptr || primary_->enclaves() == nullptr)
        return fail(ErrorCode::InvalidMessage, "this VM has no enclaves");
    return primary_->enclaves()->line().given(std::move(descriptors));
}

// One that can not be joined is one that is not there, to the guest.
Result<void> VmProcess::join_fabric(const api::Envelope& envelope, std::vector<Fd> descriptors) {
    auto peer = TRY(messages::decode_fabric_join(envelope, std::move(descriptors)));
    if (fabric_ == nullptr) return fail(ErrorCode::InvalidMessage, "this VM is part of no fabric");
    const auto joined = fabric_->join(std::move(peer));
    if (!joined) log::warn("{}", joined.error().to_string());
    return {};
}

void VmProcess::launch(messages::LaunchOrder order) {
    launch_received_ns_ = now_ns();
    auto launched = build(std::move(order));
    if (launched) launched = start();
    // The shim shows it to the user: why there is no enclave.
    if (!launched) {
        shim_->send(api::encode_failed(0, launched.error()));
        finish_with(std::move(launched));
    }
}

Result<void> VmProcess::build(messages::LaunchOrder order) {
    TRY(cpu::VcpuThread::install_kick_signal());
    const auto& launch = order.launch;
    auto& descriptors = order.descriptors;

    // Whole pages, if they are huge: a part of one can not be unmapped.
    const uint64_t file_size = TRY(sys::file_size(descriptors.image));
    const auto file = TRY(Mapping::shared_read_only(descriptors.image, file_size));
    const auto image = TRY(eif::Image::parse(file.bytes().first(launch.image_size)));

    if (launch.sgx.has_spill_file()) largest_file_ = TRY(largest_file(order));
    role_ = launch.is_primary() ? api::VmRole::Primary : api::VmRole::Enclave;
    if ((launch.flags & messages::Launch::kConsole) != 0)
        console_ = TRY(api::ConsoleRingWriter::open(descriptors.console_ring));
    auto plan = plan_of(order, image.command_line());
    machine_ = TRY(machine::Machine::create(std::move(plan), *loop_));
    TRY(add_devices(launch, descriptors));
    TRY(add_to_machine());

    boot::BootInputs inputs;
    inputs.kernel = image.kernel();
    inputs.ramdisks = image.ramdisks();
    inputs.command_line = std::string(image.command_line());
    TRY(machine_->load(std::move(inputs)));
    image_loaded_ns_ = now_ns();
    return {};
}

machine::MachinePlan VmProcess::plan_of(messages::LaunchOrder& order, std::string_view command_line) {
    const auto& launch = order.launch;
    machine::MachinePlan plan;
    plan.kvm = std::move(order.descriptors.kvm);
    plan.ram = std::move(order.descriptors.ram);
    plan.memory_bytes = launch.memory_bytes;
    plan.vcpu_count = launch.vcpu_count;
    plan.threads_per_core = launch.threads_per_core;
    plan.discovery = boot::discovery_for(command_line);
    if (role_ == api::VmRole::Primary) {
        const auto id = api::VmId::parse(launch.vm_id);
        ALCOVE_CHECK(id.has_value(), "the shim sends the id it was given");
        plan.discovery = boot::Discovery::Acpi;
        plan.primary = {.identity = identity_of(*id)};
    }
    plan.ends_when_halted = role_ == api::VmRole::Enclave;
    plan.sgx = sgx_plan_of(launch.sgx, std::move(order.descriptors.spill));
    plan.hardware_sgx = hardware_plan_of(launch.sgx, std::move(order.descriptors.epc),
                                         std::move(order.descriptors.provision));
    plan.vcpu_begins = [this, vcpus = uint32_t{launch.vcpu_count}](uint32_t vcpu) {
        return places_.enter(vcpu, vcpus);
    };
    plan.console = [this](uint8_t byte) {
        console_bytes_.fetch_add(1, std::memory_order_relaxed);
        if (console_) console_->write({&byte, 1});
    };
    return plan;
}

Result<void> VmProcess::add_devices(const messages::Launch& launch,
                                    messages::LaunchDescriptors& descriptors) {
    const auto cid = static_cast<vsock::Cid>(uint64_t{launch.guest_cid});
    vsock::HostBackend::Options options;
    options.guest_cid = cid;
    vsock::PortOpener* ports = &ports_;
    const bool is_carved = (launch.flags & messages::Launch::kCarved) != 0;
    const bool is_provisioned = (launch.flags & messages::Launch::kProvisioned) != 0;
    // To a primary VM, and to an enclave of one, its parent is not this host.
    const bool in_fabric = role_ == api::VmRole::Primary || is_carved || is_provisioned;
    if (in_fabric) options.host_cids = {vsock::Cid::Host};
    if (role_ == api::VmRole::Primary) {
        PrimaryDevices::Given given{.disks = std::move(descriptors.disks),
                                    .networks = launch.networks,
                                    .network_links = std::move(descriptors.networks)};
        if (launch.sgx.has_balloon()) given.epc_balloon = launch.sgx.balloon_mib * 1_MiB;
        primary_ = TRY(PrimaryDevices::create(*loop_, std::move(given)));
    } else {
        const auto parent = is_carved ? EnclaveParent::PrimaryVm : EnclaveParent::Host;
        enclave_ = TRY(EnclaveDevices::create(*loop_, parent, ports_, std::move(descriptors.attestor),
                                              [this](Bytes message) { shim_->send(std::move(message)); }));
        ports = &enclave_->ports();
    }
    if ((launch.flags & messages::Launch::kEnclaves) != 0) {
        TRY(primary_->add_enclaves(*loop_, *machine_, parent_of(launch, *machine_->memory()),
                                   [this] { shim_->send(api::encode(messages::NeLineWanted{})); }));
        policy_port_ = std::make_unique<PolicyPort>(*loop_, ports_, [this](uint32_t wanted, auto answered) {
            primary_->enclaves()->line().policy(wanted, std::move(answered));
        });
        ports = policy_port_.get();
        options.root_ports = {kPolicyPort};
    }
    host_backend_ = std::make_unique<vsock::HostBackend>(*loop_, *ports, options);
    host_listener_ =
        TRY(vsock::HostListener::create(*loop_, *host_backend_, std::move(descriptors.connect_socket)));
    std::vector<vsock::Backend*> backends = {host_backend_.get()};
    // Nobody in the primary VM need know of it: its heartbeat is answered here.
    if (is_provisioned) {
        parent_services_ = std::make_unique<vsock::HostBackend>(
            *loop_, *ports,
            vsock::HostBackend::Options{.guest_cid = cid,
                                        .host_cids = {vsock::Cid::Parent},
                                        .only_ports = {vsock::kHeartbeatPort, vsock::kStatusPort},
                                        .max_connections = 2 * vsock::Services::kMaxClients,
                                        .buffer_budget = 1_MiB});
        backends.push_back(parent_services_.get());
    }
    if (in_fabric) {
        fabric_ = std::make_unique<FabricMember>(*loop_, cid, role_, [this] {
            if (enclave_ != nullptr) enclave_->heartbeat_answered();
        });
        std::ranges::copy(fabric_->backends(), std::back_inserter(backends));
    }
    vsock_ = std::make_unique<vsock::VsockDevice>(*loop_, cid, std::move(backends));
    rng_ = std::make_unique<virtio::RngDevice>(*loop_);
    return {};
}

// An enclave's order is part of the machine version, as a primary VM's slots are: it decides windows and
// interrupts.
Result<void> VmProcess::add_to_machine() {
    if (primary_ != nullptr) {
        TRY(machine_->add_virtio_pci(slots::kVsock, *vsock_));
        TRY(machine_->add_virtio_pci(slots::kEntropy, *rng_));
        return primary_->add_to(*machine_);
    }
    TRY(machine_->add_virtio(*vsock_));
    TRY(enclave_->add_to(*machine_));
    return machine_->add_virtio(*rng_);
}

void VmProcess::tell_statistics(uint32_t request) {
    StatisticsSources sources{.machine = *machine_,
                              .vsock = *vsock_,
                              .host_backend = *host_backend_,
                              .fabric = fabric_ != nullptr ? &fabric_->fabric() : nullptr,
                              .nsm = enclave_ != nullptr ? &enclave_->nsm() : nullptr,
                              .disks = {},
                              .networks = {},
                              .ne_device = nullptr,
                              .ne_backend = nullptr,
                              .console_bytes = console_bytes_.load(std::memory_order_relaxed)};
    if (primary_ != nullptr) {
        sources.disks = primary_->disks();
        sources.networks = primary_->networks();
        sources.ne_device = primary_->ne_device();
        sources.ne_backend = primary_->enclaves();
    }
    shim_->send(messages::encode_statistics(request, collect_statistics(sources)));
}

Result<void> VmProcess::on_sgx_request(const api::Envelope& envelope) {
    const auto request = TRY(api::decode<messages::SgxRequest>(envelope));
    const auto action = messages::sgx_action_of(request);
    if (!action || machine_->sgx() == nullptr)
        return fail(ErrorCode::InvalidMessage, "this VM has no SGX, or not that of it");
    const uint32_t number = request.request;
    switch (*action) {
        case messages::SgxAction::Report:
            tell_sgx(number);
            return {};
        case messages::SgxAction::Drop:
            machine_->with_vcpus_parked([this, number] { drop_epc(number); });
            return {};
        case messages::SgxAction::SetBudget:
            if (machine_->software_sgx() == nullptr)
                return fail(ErrorCode::InvalidMessage, "EPC of the host's processors has no budget");
            machine_->with_vcpus_parked(
                [this, number, mib = uint64_t{request.mib}] { approach_budget(number, mib); });
            return {};
        case messages::SgxAction::SetBalloon:
            if (primary_->epc_balloon() == nullptr)
                return fail(ErrorCode::InvalidMessage, "this VM's EPC has no balloon");
            primary_->epc_balloon()->set_target(request.mib * 1_MiB);
            tell_sgx(number);
            return {};
    }
    return {};
}

// Between two steps the vCPUs run and devices are served.
void VmProcess::approach_budget(uint32_t request, uint64_t mib) {
    auto& sgx = *machine_->software_sgx();
    const auto left = sgx.leave_enclaves();
    if (!left) return give_up_later(left.error());
    const auto reached = sgx.approach_budget(mib);
    if (!reached) {
        shim_->send(api::encode_failed(request, reached.error()));
    } else if (*reached) {
        tell_sgx(request);
    } else {
        machine_->with_vcpus_parked([this, request, mib] { approach_budget(request, mib); });
    }
}

// The vCPUs are parked now.
void VmProcess::give_up_later(const Error& error) {
    loop_->post([this, why = error.to_string()] { machine_->give_up(why); });
}

void VmProcess::drop_epc(uint32_t request) {
    const auto dropped = machine_->sgx()->drop();
    if (!dropped && dropped.error().code() == ErrorCode::Busy)
        return shim_->send(api::encode_failed(request, dropped.error()));
    if (!dropped) return give_up_later(dropped.error());
    tell_sgx(request);
}

void VmProcess::tell_sgx(uint32_t request) {
    const auto* software = machine_->software_sgx();
    if (software == nullptr)
        return shim_->send(messages::encode_sgx_report(request, sgx_state_of(machine_->sgx()->sections())));
    const auto report = software->engine().report();
    auto state = sgx_state_of(report, software->budget_pages(), software->spill_statistics());
    if (const auto* balloon = primary_->epc_balloon())
        state.balloon = messages::SgxBalloon{
            .target = balloon->target(), .held = report.idle.bytes(), .reported = balloon->reported()};
    shim_->send(messages::encode_sgx_report(request, state));
}

SgxCalls VmProcess::sgx_calls() const {
    if (machine_->software_sgx() != nullptr) return SgxCalls::Software;
    return machine_->sgx() != nullptr ? SgxCalls::Hardware : SgxCalls::None;
}

Result<void> VmProcess::start() {
    TRY(places_.look());
    if (largest_file_ != 0) TRY(limit_file_size(largest_file_));
    TRY(enter_sandbox(role_, sgx_calls()));
    shim_->send(api::encode(messages::Started{.launch_received_ns = launch_received_ns_,
                                              .image_loaded_ns = image_loaded_ns_,
                                              .first_instruction_ns = now_ns()}));
    if (primary_ != nullptr && primary_->enclaves() != nullptr) primary_->enclaves()->line().ask();
    return machine_->start([this](const machine::MachineEnd& end) { on_ended(end); });
}

// The next life of a primary VM begins when this one has stopped, and not before its enclaves have.
void VmProcess::on_ended(const machine::MachineEnd& end) {
    const auto tell = [this, end] { finish(end.reason, end.vcpu, end.detail); };
    if (primary_ == nullptr) return tell();
    primary_->release(tell);
}

void VmProcess::finish(api::StopReason reason, std::optional<uint32_t> vcpu, const std::string& detail) {
    log::info("ended: {}{}{}", api::stop_reason_name(reason), detail.empty() ? "" : ": ", detail);
    if (primary_ != nullptr) primary_->hand_on_links();
    const messages::Stopped stopped{.time_ns = now_ns(),
                                    .reason = static_cast<uint16_t>(reason),
                                    .vcpu = vcpu ? static_cast<uint16_t>(*vcpu) : kNoVcpu,
                                    .reserved = 0};
    shim_->send(api::encode(stopped, as_byte_view(detail)));
    finish_with({});
}

void VmProcess::finish_with(Result<void> outcome) {
    outcome_ = std::move(outcome);
    loop_->stop();
}

}  // namespace alcove::vmm
