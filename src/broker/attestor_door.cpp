// SPDX-License-Identifier: Apache-2.0
#include "broker/attestor_door.hpp"

#include <chrono>

#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::broker {

namespace attestor = api::attestor;

namespace {

constexpr std::chrono::milliseconds kPatience(2500);  // twice

// A connection on which both have said Hello.
Result<Channel> connect(const std::string& socket_path) {
    auto socket = TRY(sys::unix_connect(socket_path, SOCK_SEQPACKET));
    Channel channel(std::move(socket));
    TRY(api::exchange_hello(channel, api::Protocol::Attestor, attestor::kVersions, kPatience));
    return channel;
}

}  // namespace

Result<Fd> open_at_attestor(const std::string& socket_path, const LaunchPlan& plan) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const attestor::Open open{.request = 1,
                              .reserved = {},
                              .vm_id = plan.id.field(),
                              .module_id = api::TextField<128>::of(plan.module_id),
                              .pcr3 = plan.numbers.pcr3,
                              .pcr4 = plan.numbers.pcr4,
                              .host_time_ms = static_cast<uint64_t>(
                                  std::chrono::duration_cast<std::chrono::milliseconds>(now).count())};
    auto channel = TRY(connect(socket_path));
    TRY(channel.send(api::encode(open)));
    const auto message = TRY(channel.receive_within(kPatience));
    const auto envelope = TRY(api::open_envelope(message.data));
    TRY(api::decode_answer<attestor::Done>(envelope));
    return channel.release();
}

Result<api::SgxRootSecret> ask_sgx_root(const std::string& socket_path, const LaunchPlan& plan) {
    auto channel = TRY(connect(socket_path));
    const attestor::GetSgxRoot question{.request = 1, .reserved = {}, .owner = plan.numbers.sgx_root_owner};
    TRY(channel.send(api::encode(question)));
    const auto message = TRY(channel.receive_within(kPatience));
    const auto envelope = TRY(api::open_envelope(message.data));
    const auto answer = TRY(api::decode_answer<attestor::SgxRoot>(envelope));
    return answer.root;
}

}  // namespace alcove::broker
