// SPDX-License-Identifier: Apache-2.0
#include "vmm/enclave_devices.hpp"

#include "vmm/clock.hpp"

namespace alcove::vmm {

namespace messages = api::vmm;

EnclaveDevices::EnclaveDevices(EventLoop& loop, EnclaveParent parent, vsock::PortOpener& ports,
                               const Send& send)
    : send_(send),
      attestor_line_(send),
      services_(parent == EnclaveParent::PrimaryVm
                    ? nullptr
                    : std::make_unique<vsock::Services>(
                          loop, ports, [this](const vsock::ServiceReport& report) { on_service(report); })),
      ports_(services_ != nullptr ? *services_ : ports) {}

Result<std::unique_ptr<EnclaveDevices>> EnclaveDevices::create(EventLoop& loop, EnclaveParent parent,
                                                               vsock::PortOpener& ports, Fd attestor,
                                                               const Send& send) {
    std::unique_ptr<EnclaveDevices> devices(new EnclaveDevices(loop, parent, ports, send));
    EnclaveDevices* self = devices.get();
    devices->attestor_ = TRY(nsm::AttestorSocket::create(
        loop, std::move(attestor), {.on_lost = [self] { self->attestor_line_.ask(); }}));
    devices->nsm_ = std::make_unique<nsm::NsmDevice>(*devices->attestor_);
    return devices;
}

void EnclaveDevices::on_service(const vsock::ServiceReport& report) {
    using Kind = vsock::ServiceReport::Kind;
    const bool by_host = report.answerer == vsock::ServiceReport::Answerer::HostProgram;
    if (report.kind == Kind::Heartbeat && (by_host || report.is_valid))
        tell_ready(by_host ? messages::ReadyAnsweredBy::HostProgram : messages::ReadyAnsweredBy::Alcove);
    if (report.kind == Kind::Status && report.end) {
        const auto kind = *report.end == vsock::ServiceReport::End::Signal ? messages::AppExitKind::Signalled
                                                                           : messages::AppExitKind::Exited;
        send_(api::encode(messages::AppExit{
            .time_ns = now_ns(), .kind = static_cast<uint32_t>(kind), .value = report.number}));
    }
}

void EnclaveDevices::tell_ready(messages::ReadyAnsweredBy by) {
    send_(api::encode(
        messages::Ready{.time_ns = now_ns(), .answered_by = static_cast<uint32_t>(by), .reserved = 0}));
}

}  // namespace alcove::vmm
