// SPDX-License-Identifier: Apache-2.0
//
// What a hostile VMM can send to its shim, and a hostile daemon or broker to anyone: every decoder gets
// every input. Nothing may crash, and what is accepted must encode to the same bytes again.
#include <cstdint>

#include "api/broker_messages.hpp"
#include "api/lives_messages.hpp"
#include "api/shim_messages.hpp"
#include "api/start_messages.hpp"
#include "api/vmm_messages.hpp"

namespace {

using namespace alcove;

template <typename T>
void plain(const api::Envelope& envelope, ByteView input) {
    const auto body = api::decode<T>(envelope);
    if (!body) return;
    const Bytes again = api::encode(*body);
    ALCOVE_CHECK(std::equal(again.begin(), again.end(), input.begin(), input.end()),
                 "decoding loses nothing");
}

template <typename T>
void with_tail(const api::Envelope& envelope, ByteView input) {
    const auto body = api::decode_with_tail<T>(envelope);
    if (!body) return;
    const Bytes again = api::encode(body->body, body->tail);
    ALCOVE_CHECK(std::equal(again.begin(), again.end(), input.begin(), input.end()),
                 "decoding loses nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const ByteView input(data, size);
    const auto envelope = api::open_envelope(input);
    if (!envelope) return 0;
    plain<api::Hello>(*envelope, input);
    plain<api::vmm::Started>(*envelope, input);
    plain<api::vmm::Ready>(*envelope, input);
    plain<api::vmm::AppExit>(*envelope, input);
    plain<api::vmm::OpenPort>(*envelope, input);
    plain<api::vmm::AttestorLost>(*envelope, input);
    plain<api::vmm::NeLineWanted>(*envelope, input);
    plain<api::vmm::SgxRequest>(*envelope, input);
    plain<api::broker::Launch>(*envelope, input);
    plain<api::broker::AssignCores>(*envelope, input);
    plain<api::broker::LimitMemory>(*envelope, input);
    plain<api::shim::AddMemory>(*envelope, input);
    plain<api::shim::Begin>(*envelope, input);
    plain<api::lives::LifeBegun>(*envelope, input);
    plain<api::lives::LifeEnded>(*envelope, input);
    with_tail<api::vmm::Stopped>(*envelope, input);
    with_tail<api::vmm::SgxReport>(*envelope, input);
    with_tail<api::shim::State>(*envelope, input);
    with_tail<api::broker::CoresAssigned>(*envelope, input);
    (void)api::accept_hello(*envelope, api::Protocol::Vmm, api::vmm::kVersions);
    (void)api::decode_failed(*envelope);
    (void)api::vmm::decode_statistics(*envelope);
    (void)api::vmm::decode_sgx_report(*envelope);
    (void)api::broker::decode_listing(*envelope);
    (void)api::vmm::decode_launch(*envelope, {});
    (void)api::vmm::decode_fabric_join(*envelope, {});
    (void)api::shim::decode_fabric_join(*envelope, {});
    return 0;
}
