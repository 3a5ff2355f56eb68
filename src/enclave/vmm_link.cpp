// SPDX-License-Identifier: Apache-2.0
#include "enclave/vmm_link.hpp"

namespace alcove::enclave {

namespace vmm = api::vmm;

Result<std::unique_ptr<VmmLink>> VmmLink::create(EventLoop& loop, Fd channel, Callbacks callbacks) {
    std::unique_ptr<VmmLink> link(new VmmLink(std::move(callbacks)));
    VmmLink* self = link.get();
    link->connection_ = TRY(api::Connection::create(
        loop, Channel(std::move(channel)), api::Protocol::Vmm, vmm::kVersions,
        {.on_open = nullptr,
         .on_message = [self](const api::Envelope& envelope,
                              std::vector<Fd> fds) { return self->on_message(envelope, fds); },
         .on_closed =
             [self](const Error& error) {
                 if (error.code() == ErrorCode::ConnectionLost) return self->callbacks_.on_channel_lost();
                 self->callbacks_.on_protocol_broken(error);
             }}));
    return link;
}

void VmmLink::launch(vmm::LaunchOrder order) {
    auto message = vmm::encode_launch(std::move(order));
    ALCOVE_CHECK(message.has_value(), "the numbers of a launch were checked when the shim got them");
    connection_->send(std::move(message->data), std::move(message->descriptors));
}

void VmmLink::send(Bytes message, std::vector<Fd> descriptors) {
    connection_->send(std::move(message), std::move(descriptors));
}

void VmmLink::finish() {
    connection_->drain();  // its last words come before its end
    connection_->close();
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
        case vmm::AttestorLost::kType: {
            TRY(api::decode<vmm::AttestorLost>(envelope));
            callbacks_.on_attestor_lost();
            return {};
        }
        case vmm::NeLineWanted::kType: {
            TRY(api::decode<vmm::NeLineWanted>(envelope));
            callbacks_.on_ne_line_wanted();
            return {};
        }
        case vmm::Statistics::kType: {
            const auto message = TRY(vmm::decode_statistics(envelope));
            callbacks_.on_statistics(message);
            return {};
        }
        case vmm::SgxReport::kType: {
            const auto message = TRY(vmm::decode_sgx_report(envelope));
            callbacks_.on_sgx(message);
            return {};
        }
        case api::Failed::kType: {
            const auto message = TRY(api::decode_failed(envelope));
            if (message.request != 0) {
                callbacks_.on_sgx_refused(message);
            } else {
                callbacks_.on_refused(message.error);
            }
            return {};
        }
        default:
            return fail(ErrorCode::InvalidMessage,
                        "a message of unknown type " + std::to_string(envelope.type));
    }
}

}  // namespace alcove::enclave
