// SPDX-License-Identifier: Apache-2.0
//
// What the VMM of an enclave has beyond what every VM has: the NSM with its line to alcove-attestor, and the
// services that a Nitro enclave's init expects of its parent (heartbeat, status). Those are ours where this
// host is the parent. The parent of a carved enclave is its primary VM, where a program answers the
// heartbeat: only who carries the packets between the two can see it.
#pragma once

#include <functional>
#include <memory>

#include "machine/machine.hpp"
#include "nsm/attestor_socket.hpp"
#include "nsm/device.hpp"
#include "vmm/attestor_line.hpp"
#include "vsock/services.hpp"

namespace alcove::vmm {

enum class EnclaveParent { Host, PrimaryVm };

class EnclaveDevices {
  public:
    using Send = std::function<void(Bytes message)>;  // to the shim

    // Loop and ports are borrowed. `attestor` is this VM's connection.
    static Result<std::unique_ptr<EnclaveDevices>> create(EventLoop& loop, EnclaveParent parent,
                                                          vsock::PortOpener& ports, Fd attestor,
                                                          const Send& send);

    // Host ports as the enclave finds them.
    vsock::PortOpener& ports() { return ports_; }
    Result<void> add_to(machine::Machine& machine) { return machine.add_virtio(*nsm_); }
    Result<void> attestor_answered(const api::vmm::AttestorLine& line, std::vector<Fd> descriptors) {
        return attestor_line_.answered(line, *attestor_, std::move(descriptors));
    }
    const nsm::NsmDevice& nsm() const { return *nsm_; }
    // By a program in its primary VM.
    void heartbeat_answered() { tell_ready(api::vmm::ReadyAnsweredBy::HostProgram); }

  private:
    EnclaveDevices(EventLoop& loop, EnclaveParent parent, vsock::PortOpener& ports, const Send& send);
    void on_service(const vsock::ServiceReport& report);
    void tell_ready(api::vmm::ReadyAnsweredBy by);

    Send send_;
    AttestorLine attestor_line_;
    std::unique_ptr<vsock::Services> services_;  // with EnclaveParent::Host
    vsock::PortOpener& ports_;
    std::unique_ptr<nsm::AttestorSocket> attestor_;
    std::unique_ptr<nsm::NsmDevice> nsm_;
};

}  // namespace alcove::vmm
