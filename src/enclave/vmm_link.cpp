// SPDX-License-Identifier: Apache-2.0
#include "enclave/vmm_link.hpp"

#include <csignal>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace vmm = api::vmm;

Result<std::unique_ptr<VmmLink>> VmmLink::create(EventLoop& loop, Descriptors descriptors,
                                                 Callbacks callbacks) {
    std::unique_ptr<VmmLink> link(new VmmLink(loop, std::move(descriptors), std::move(callbacks)));
    VmmLink* self = link.get();
    link->connection_ = TRY(api::Connection::create(
        loop, Channel(std::move(self->descriptors_.channel)), api::Protocol::Vmm, vmm::kVersions,
        {.on_open = nullptr,
         .on_message = [self](const api::Envelope& envelope,
                              std::vector<Fd> fds) { return self->on_message(envelope, fds); },
         .on_closed =
             [self](const Error& error) {
                 if (error.code() == ErrorCode::ConnectionLost) return self->callbacks_.on_channel_lost();
                 self->callbacks_.on_protocol_broken(error);
             }}));
    link->process_watch_ =
        TRY(loop.watch(self->descriptors_.pidfd, EPOLLIN, [self](uint32_t) { self->on_process_end(); }));
    return link;
}

VmmLink::~VmmLink() {
    loop_.unwatch(process_watch_);
}

void VmmLink::launch(vmm::LaunchOrder order) {
    auto message = vmm::encode_launch(std::move(order));
    ALCOVE_CHECK(message.has_value(), "the numbers of a launch were checked when the shim got them");
    connection_->send(std::move(message->data), std::move(message->descriptors));
}

void VmmLink::send(Bytes message, std::vector<Fd> descriptors) {
    connection_->send(std::move(message), std::move(descriptors));
}

void VmmLink::kill() const {
    // The VMM is another user, so the signal usually may not be sent; its cgroup's switch works then. Where
    // there is no cgroup (tests), it is the other way round.
    ::syscall(SYS_pidfd_send_signal, descriptors_.pidfd.get(), SIGKILL, nullptr, 0);
    const auto written = sys::write_some(descriptors_.kill, as_byte_view("1"));
    if (!written) log::error("the VMM's cgroup could not be killed: {}", written.error().to_string());
}

Result<void> VmmLink::on_message(const api::Envelope& envelope, const std::vector<Fd>& descriptors) {
    if (!descriptors.empty()) return fail(ErrorCode::InvalidMessage, "the VMM sent descriptors");
    switch (envelope.type) {
        case vmm::Started::kType: {
            const auto message = TRY(api::decode<vmm::Started>(envelope));
            callbacks_.on_started(message);
            return {};
        }
        case vmm::Ready::kType: {
            const auto message = TRY(api::decode<vmm::Ready>(envelope));
            callbacks_.on_ready(message);
            return {};
        }
        case vmm::AppExit::kType: {
            const auto message = TRY(api::decode<vmm::AppExit>(envelope));
            callbacks_.on_app_exit(message);
            return {};
        }
        case vmm::Stopped::kType: {
            const auto message = TRY(api::decode_with_tail<vmm::Stopped>(envelope));
            callbacks_.on_stopped(message.body, api::printable(message.tail));
            return {};
        }
        case vmm::OpenPort::kType: {
            const auto message = TRY(api::decode<vmm::OpenPort>(envelope));
            callbacks_.on_open_port(message);
            return {};
        }
        case vmm::Statistics::kType: {
            const auto message = TRY(vmm::decode_statistics(envelope));
            callbacks_.on_statistics(message);
            return {};
        }
        case api::Failed::kType: {
            const auto message = TRY(api::decode_failed(envelope));
            callbacks_.on_refused(message.error);
            return {};
        }
        default:
            return fail(ErrorCode::InvalidMessage,
                        "a message of unknown type " + std::to_string(envelope.type));
    }
}

void VmmLink::on_process_end() {
    siginfo_t info{};
    if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(descriptors_.pidfd.get()), &info,
                 WEXITED | WNOHANG) < 0 ||
        info.si_pid == 0)
        return;
    loop_.unwatch(process_watch_);
    connection_->drain();  // its last words come before its end
    connection_->close();
    callbacks_.on_gone({.by_signal = info.si_code != CLD_EXITED, .value = info.si_status});
}

}  // namespace alcove::enclave
