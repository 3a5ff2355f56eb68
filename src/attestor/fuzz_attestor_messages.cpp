// SPDX-License-Identifier: Apache-2.0
//
// A VMM that has been taken over, against the attestor. The first byte chooses how far the conversation has
// come, or another role to begin with; then follow messages, each as [size, 2 bytes][bytes]. Whatever is
// sent, what was measured stays, nobody else's VM is touched, and each answer is a well-formed message.
#include <cstdlib>

#include "attestor/session.hpp"
#include "attestor/test_folder.hpp"

namespace {

using namespace alcove;
namespace wire = api::attestor;

void require(bool condition) {
    if (!condition) std::abort();
}

attestor::Authority& authority() {
    static auto made = attestor::Authority::ephemeral(attestor::HostKind::Production, [] {
                           return attestor::TimePoint(std::chrono::seconds(1'750'000'000));
                       }).value();
    return made;
}

const attestor::SessionStore& store() {
    static const attestor::TestFolder folder("/dev/shm");  // each change of state is a file
    static const auto made = attestor::SessionStore::open(folder / "run").value();
    return made;
}

Bytes open_message(const char* vm_id) {
    wire::Open open{};
    open.vm_id = api::VmId::Field::of(vm_id);
    open.module_id = api::TextField<128>::of("i-fuzz-enc0");
    open.host_time_ms = 1'750'000'000'000;
    return api::encode(open);
}

Bytes measured_message() {
    wire::Measured measured{};
    measured.pcr0.fill(0x10);
    return api::encode(measured);
}

void advance(attestor::Session& session, unsigned steps, const char* vm_id) {
    const Bytes messages[] = {api::encode_hello(api::Protocol::Attestor, wire::kVersions),
                              open_message(vm_id), measured_message()};
    for (unsigned i = 0; i < steps; ++i)
        require(!session.handle(messages[i]).violation);
}

// PCR0 as the session itself tells it; nothing when the conversation is over.
std::optional<wire::PcrValue> pcr0_of(attestor::Session& session) {
    const auto reply = session.handle(api::encode(wire::DescribePcr{.request = 1, .index = 0}));
    if (reply.violation) return std::nullopt;
    const auto pcr = api::decode<wire::PcrDescription>(*api::open_envelope(*reply.message));
    require(pcr.has_value() && pcr->locked == 1);
    return pcr->value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    attestor::Shared shared{.authority = authority(), .store = store()};
    attestor::Session bystander(shared, attestor::PeerRole::Broker);
    advance(bystander, 3, "bystander");
    {
        const unsigned steps = data[0] & 3;
        const auto role = (data[0] & 4) == 0   ? attestor::PeerRole::Broker
                          : (data[0] & 8) == 0 ? attestor::PeerRole::Reader
                                               : attestor::PeerRole::Keeper;
        attestor::Session session(shared, role);
        if (role == attestor::PeerRole::Broker) advance(session, steps, "fuzz");
        ByteView rest(data + 1, size - 1);
        while (rest.size() >= 2) {
            const size_t length = std::min<size_t>(size_t{rest[0]} << 8 | rest[1], rest.size() - 2);
            const auto reply = session.handle(rest.subspan(2, length));
            require(!reply.message || api::open_envelope(*reply.message).has_value());
            rest = rest.subspan(2 + length);
        }
        wire::PcrValue expected;
        expected.fill(0x10);
        if (role == attestor::PeerRole::Broker && steps == 3) {
            const auto pcr0 = pcr0_of(session);
            require(!pcr0 || *pcr0 == expected);
        }
    }
    require(pcr0_of(bystander).has_value());
    const auto names = store().names();
    require(names.has_value());
    for (const auto& name : *names)
        store().remove_named(name);
    return 0;
}
