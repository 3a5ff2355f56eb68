// SPDX-License-Identifier: Apache-2.0
//
// One VMM, in one object: takes the launch order from the shim, builds the machine around the memory, image
// and lines it was given, closes the door behind itself, and runs the guest until it ends or the shim says
// so. What every VM has is here; what only one role has is in EnclaveDevices or PrimaryDevices.
//
//     Launch ──► machine built, image loaded ──► sandbox ──► Started ──► guest runs
//                                                                    Ready, AppExit, ports, statistics
//                                     Stopped ◄── enclaves gone ◄── ended ◄──┘
//
// Everything happens on the event loop's thread but the vCPUs themselves.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "api/connection.hpp"
#include "api/console_ring.hpp"
#include "api/vmm_messages.hpp"
#include "machine/machine.hpp"
#include "support/event_loop.hpp"
#include "virtio/rng.hpp"
#include "vmm/enclave_devices.hpp"
#include "vmm/fabric_member.hpp"
#include "vmm/policy_port.hpp"
#include "vmm/primary_devices.hpp"
#include "vmm/sandbox.hpp"
#include "vmm/shim_ports.hpp"
#include "vmm/vcpu_places.hpp"
#include "vsock/device.hpp"
#include "vsock/host_backend.hpp"
#include "vsock/host_listener.hpp"

namespace alcove::vmm {

class VmProcess {
  public:
    // `channel` is the line to the shim; `places` are where vCPUs run. Runs until the guest has ended and the
    // shim knows, or until the shim is gone. An error means that the guest did not end in order; the shim was
    // told where possible.
    static Result<void> run(Channel channel, VcpuPlaces& places);

  private:
    VmProcess(std::unique_ptr<EventLoop> loop, VcpuPlaces& places)
        : loop_(std::move(loop)), places_(places) {}

    Result<void> on_message(const api::Envelope& envelope, std::vector<Fd> descriptors);
    Result<void> join_fabric(const api::Envelope& envelope, std::vector<Fd> descriptors);
    void launch(api::vmm::LaunchOrder order);
    Result<void> build(api::vmm::LaunchOrder order);
    machine::MachinePlan plan_of(api::vmm::LaunchOrder& order, std::string_view command_line);
    Result<void> add_devices(const api::vmm::Launch& launch, api::vmm::LaunchDescriptors& descriptors);
    Result<void> add_to_machine();
    Result<void> start();
    void tell_statistics(uint32_t request);
    Result<void> on_sgx_request(const api::Envelope& envelope);
    void drop_epc(uint32_t request);
    void approach_budget(uint32_t request, uint64_t mib);
    void give_up_later(const Error& error);
    void tell_sgx(uint32_t request);
    SgxCalls sgx_calls() const;
    Result<void> on_ne_line(const api::Envelope& envelope, std::vector<Fd> descriptors);
    void on_ended(const machine::MachineEnd& end);
    void finish(api::StopReason reason, std::optional<uint32_t> vcpu, const std::string& detail);
    void finish_with(Result<void> outcome);

    std::unique_ptr<EventLoop> loop_;
    VcpuPlaces& places_;
    std::unique_ptr<api::Connection> shim_;
    uint64_t launch_received_ns_ = 0;  // 0: not yet
    uint64_t image_loaded_ns_ = 0;
    uint64_t largest_file_ = 0;  // that it may have, with a spill file; else 0

    std::optional<api::ConsoleRingWriter> console_;
    std::atomic<uint64_t> console_bytes_{0};  // written on vCPU threads, for statistics only
    ShimPorts ports_{[this](Bytes message) { shim_->send(std::move(message)); }};
    api::VmRole role_ = api::VmRole::Enclave;
    std::unique_ptr<EnclaveDevices> enclave_;  // one of these two, as the role is
    std::unique_ptr<PrimaryDevices> primary_;
    std::unique_ptr<PolicyPort> policy_port_;  // of a primary VM that may carve
    std::unique_ptr<vsock::HostBackend> host_backend_;
    std::unique_ptr<vsock::HostListener> host_listener_;
    std::unique_ptr<vsock::HostBackend>
        parent_services_;                   // of an enclave that was started with its primary VM
    std::unique_ptr<FabricMember> fabric_;  // of a primary VM, and of an enclave that was carved out of one
    std::unique_ptr<vsock::VsockDevice> vsock_;
    std::unique_ptr<virtio::RngDevice> rng_;
    std::unique_ptr<machine::Machine> machine_;
    Result<void> outcome_;
};

}  // namespace alcove::vmm
