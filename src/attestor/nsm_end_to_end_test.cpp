// SPDX-License-Identifier: Apache-2.0
//
// From a guest's rings to a signed document and back: virtio-nsm, the VM's socket, and the attestor that
// holds the keys, on one event loop. The requests are what AWS's nsm-check makes (nitro.md 4.4).
#include <set>

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "attestation/verifier.hpp"
#include "attestor/server.hpp"
#include "attestor/test_folder.hpp"
#include "codec/cbor.hpp"
#include "codec/cbor_writer.hpp"
#include "nsm/attestor_socket.hpp"
#include "nsm/device.hpp"
#include "support/system.hpp"
#include "virtio/driver_fake.hpp"

namespace alcove::attestor {
namespace {

namespace cbor = codec::cbor;
namespace wire = api::attestor;
using std::chrono::milliseconds;

constexpr uint32_t kLinuxBuffer = 0x3000;

cbor::Value map_of(std::string_view key, cbor::Value value) {
    cbor::Map map;
    map.add(key, std::move(value));
    return cbor::Value::map(std::move(map));
}

class NsmEndToEnd : public testing::Test {
  protected:
    NsmEndToEnd() {
        start_attestor();
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        EXPECT_TRUE(server->adopt(std::move(pair.first), PeerRole::Broker));
        measure(Channel(std::move(pair.second)));
        driver.emplace(machine, *device);
        driver->start();
    }
    // The host's own root, so that one started later has the same.
    void start_attestor() {
        auto authority = Authority::open({.state_folder = folder / "state",
                                          .root_certificate = {},
                                          .root_key = {},
                                          .ca_certificate = {},
                                          .ca_key = {}},
                                         HostKind::Production, std::chrono::system_clock::now)
                             .value();
        root = authority.root();
        Server::Listeners listeners;
        listeners.main = sys::unix_listen(folder / "attestor.sock", SOCK_SEQPACKET, 0600).value();
        listeners.shims = sys::unix_listen(folder / "shims.sock", SOCK_SEQPACKET, 0600).value();
        server = Server::create(machine.loop(), std::move(listeners), std::move(authority),
                                SessionStore::open(folder / "run").value(), {.keepers = {::getuid()}})
                     .value();
    }
    // Killed: it does nothing more, and its connections end.
    void kill_attestor() {
        server.reset();
        machine.run();
    }
    // What the shim does when it is told of the loss.
    Fd resume() {
        Channel channel(sys::unix_connect(folder / "shims.sock", SOCK_SEQPACKET).value());
        EXPECT_TRUE(channel.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        EXPECT_TRUE(channel.send(api::encode(wire::Resume{.request = 1, .reserved = {}, .token = token})));
        machine.run();
        EXPECT_TRUE(channel.receive());
        const auto answer = channel.receive().value();
        EXPECT_EQ(api::open_envelope(answer.data)->type, wire::Done::kType);
        return channel.release();
    }
    // What broker and launcher do before the VMM has the socket.
    void measure(Channel channel) {
        wire::Open open{};
        open.vm_id = api::VmId::Field::of("vm-1");
        open.module_id = api::TextField<128>::of("i-0123456789abcdef0-enc0000000000000001");
        open.pcr4.fill(4);
        open.host_time_ms = static_cast<uint64_t>(std::time(nullptr)) * 1000;
        wire::Measured measured{};
        measured.pcr0.fill(0x10);
        measured.pcr1.fill(0x11);
        measured.pcr2.fill(0x12);
        EXPECT_TRUE(channel.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        EXPECT_TRUE(channel.send(api::encode(open)));
        EXPECT_TRUE(channel.send(api::encode(measured)));
        machine.run();
        for (int i = 0; i < 2; ++i)
            EXPECT_TRUE(channel.receive());
        const auto sealed = channel.receive().value();
        token = api::decode<wire::Sealed>(api::open_envelope(sealed.data).value()).value().token;
        forgery = Channel(sys::duplicate(channel.fd().get()).value());
        socket =
            nsm::AttestorSocket::create(machine.loop(), channel.release(), {.on_lost = [this] { ++losses; }})
                .value();
        device.emplace(*socket);
    }

    // One request as Linux's driver makes it; the decoded answer.
    cbor::Value ask(const cbor::Value& request) {
        begin(request);
        return answer();
    }
    void begin(const cbor::Value& request) {
        auto& queue = driver->queue(0);
        queue.add(cbor::encode(request), {});
        queue.add({}, {kLinuxBuffer});
        driver->notify(0);
    }
    bool is_answered() { return driver->queue(0).used_index() != used; }
    cbor::Value answer() {
        auto& queue = driver->queue(0);
        EXPECT_TRUE(machine.run_until([&] { return queue.used_index() == static_cast<uint16_t>(used + 2); }));
        used = static_cast<uint16_t>(used + 2);
        EXPECT_EQ(queue.take_used()->length, 0U);
        const auto response = queue.written(*queue.take_used());
        seen_by_guest.insert(seen_by_guest.end(), response.begin(), response.end());
        return cbor::decode(response).value();
    }
    // The fields of the answer to the request of that name.
    cbor::Map fields(std::string_view name, const cbor::Value& request) {
        begin(request);
        return answer_fields(name);
    }
    cbor::Map answer_fields(std::string_view name) {
        const auto response = answer();
        const auto* found = response.as_map().value()->find(name);
        EXPECT_NE(found, nullptr) << name;
        return found != nullptr ? **found->as_map() : cbor::Map();
    }
    cbor::Map describe_pcr(uint64_t index) {
        return fields("DescribePCR",
                      map_of("DescribePCR", map_of("index", cbor::Value::unsigned_integer(index))));
    }
    void begin_extend(uint64_t index, std::string_view data) {
        cbor::Map extension;
        extension.add("index", cbor::Value::unsigned_integer(index))
            .add("data", cbor::Value::bytes(as_byte_view(data)));
        begin(map_of("ExtendPCR", cbor::Value::map(std::move(extension))));
    }
    // The register's new value.
    Bytes extend(uint64_t index, std::string_view data) {
        begin_extend(index, data);
        return to_bytes(*answer_fields("ExtendPCR").find("data")->as_bytes());
    }
    std::string error(const cbor::Value& request) {
        begin(request);
        return error_answer();
    }
    std::string error_answer() {
        const auto response = answer();
        const auto* found = response.as_map().value()->find("Error");
        return found != nullptr ? std::string(*found->as_text()) : std::string();
    }
    cbor::Value attestation(const std::optional<Bytes>& user_data, const std::optional<Bytes>& nonce,
                            const std::optional<Bytes>& public_key) {
        const auto value = [](const std::optional<Bytes>& field) {
            return field ? cbor::Value::bytes(*field) : cbor::Value::null();
        };
        cbor::Map map;
        map.add("user_data", value(user_data))
            .add("nonce", value(nonce))
            .add("public_key", value(public_key));
        return map_of("Attestation", cbor::Value::map(std::move(map)));
    }
    attestation::Verification verify(const cbor::Value& request) {
        return verify_document(fields("Attestation", request));
    }
    attestation::Verification verify_document(const cbor::Map& answer) {
        attestation::Policy policy;
        policy.root = root;
        policy.now = std::chrono::system_clock::now();
        return attestation::verify_document(*answer.find("document")->as_bytes(), policy);
    }

    const TestFolder folder;
    virtio::FakeMachine machine;
    std::optional<Certificate> root;
    std::unique_ptr<Server> server;
    std::unique_ptr<nsm::AttestorSocket> socket;
    Channel forgery;  // what a VMM that is taken over has in hand
    ResumeToken token{};
    int losses = 0;
    std::optional<nsm::NsmDevice> device;
    std::optional<virtio::FakeDriver> driver;
    uint16_t used = 0;
    Bytes seen_by_guest;
};

TEST_F(NsmEndToEnd, PassesTheReferencesChecklist) {
    const Bytes largest(1024, 0x5a);
    const auto description = fields("DescribeNSM", cbor::Value::text("DescribeNSM"));
    EXPECT_EQ(description.find("locked_pcrs")->as_array()->size(), 16U);
    EXPECT_EQ(description.find("max_pcrs")->as_unsigned().value(), 32U);
    EXPECT_EQ(description.find("digest")->as_text().value(), "SHA384");
    EXPECT_FALSE(description.find("module_id")->as_text()->empty());

    const std::set<uint64_t> filled{0, 1, 2, 4};
    for (uint64_t index = 0; index < 32; ++index) {
        const auto pcr = describe_pcr(index);
        EXPECT_EQ(pcr.find("lock")->as_boolean().value(), index < 16);
        EXPECT_EQ(to_bytes(*pcr.find("data")->as_bytes()) != Bytes(48, 0), filled.contains(index)) << index;
    }
    EXPECT_EQ(error(map_of("DescribePCR", map_of("index", cbor::Value::unsigned_integer(32)))),
              "InvalidIndex");

    for (uint64_t index = 16; index < 32; ++index) {
        cbor::Map extend;
        extend.add("index", cbor::Value::unsigned_integer(index)).add("data", cbor::Value::bytes(largest));
        const auto extended = fields("ExtendPCR", map_of("ExtendPCR", cbor::Value::map(extend)));
        EXPECT_EQ(*extended.find("data"), *describe_pcr(index).find("data"));
        const auto lock = map_of("LockPCR", map_of("index", cbor::Value::unsigned_integer(index)));
        EXPECT_EQ(ask(lock).as_text().value(), "LockPCR");
        EXPECT_EQ(error(lock), "ReadOnlyIndex");
        EXPECT_EQ(error(map_of("ExtendPCR", cbor::Value::map(extend))), "ReadOnlyIndex");
    }
    const auto lock_all = map_of("LockPCRs", map_of("range", cbor::Value::unsigned_integer(32)));
    EXPECT_EQ(ask(lock_all).as_text().value(), "LockPCRs");
    EXPECT_EQ(error(map_of("LockPCRs", map_of("range", cbor::Value::unsigned_integer(33)))), "InvalidIndex");

    for (const auto& request : {attestation({}, {}, {}), attestation(largest, {}, {}),
                                attestation(largest, largest, {}), attestation(largest, largest, largest)}) {
        const auto result = verify(request);
        ASSERT_TRUE(result.verified()) << result.error->to_string();
        EXPECT_EQ(result.document->pcrs.size(), 32U);
    }

    std::set<Bytes> random;
    for (int i = 0; i < 16; ++i)
        random.insert(
            to_bytes(*fields("GetRandom", cbor::Value::text("GetRandom")).find("random")->as_bytes()));
    EXPECT_EQ(random.size(), 16U);
    EXPECT_FALSE(random.contains(Bytes()));
}

// A guest that has taken over its VMM sends what it likes. It gets no document with another PCR0, and no
// other after it.
TEST_F(NsmEndToEnd, ATakenOverVmmCanNotChangeWhatWasMeasured) {
    ASSERT_TRUE(verify(attestation({}, {}, {})).verified());
    wire::Measured forged{};
    forged.pcr0.fill(0x66);

    ASSERT_TRUE(forgery.send(api::encode(forged)));
    machine.run();

    EXPECT_EQ(error(attestation({}, {}, {})), "InternalError");
    EXPECT_EQ(server->counters().documents, 1U);
    EXPECT_EQ(server->counters().violations, 1U);
    EXPECT_EQ(server->connections(), 0U);
}

TEST_F(NsmEndToEnd, AGuestLivesOnWithoutAnAttestor) {
    kill_attestor();
    socket->give_up();

    EXPECT_EQ(error(attestation({}, {}, {})), "InternalError");
    EXPECT_EQ(error(map_of("DescribePCR", map_of("index", cbor::Value::unsigned_integer(0)))),
              "InternalError");
    EXPECT_GE(fields("GetRandom", cbor::Value::text("GetRandom")).find("random")->as_bytes()->size(), 24U);
}

TEST_F(NsmEndToEnd, AGuestDoesNotNoticeARestartOfTheAttestor) {
    const auto lock = map_of("LockPCR", map_of("index", cbor::Value::unsigned_integer(17)));
    const auto extended = extend(17, "before");
    ask(lock);
    const auto nonce = Bytes{1, 2, 3};
    kill_attestor();
    EXPECT_EQ(losses, 1);
    begin(attestation({}, nonce, {}));
    machine.run();
    ASSERT_FALSE(is_answered()) << "it waits";

    start_attestor();
    ASSERT_TRUE(socket->replace(resume()));
    const auto result = verify_document(answer_fields("Attestation"));

    ASSERT_TRUE(result.verified()) << result.error->to_string();
    EXPECT_EQ(result.document->nonce, nonce);
    EXPECT_EQ(result.document->module_id, "i-0123456789abcdef0-enc0000000000000001");
    EXPECT_EQ(result.document->pcrs.at(0), Bytes(48, 0x10));
    EXPECT_EQ(result.document->pcrs.at(17), extended);
    EXPECT_EQ(error(lock), "ReadOnlyIndex");
}

// Whether an attestor that took the request and then died has done it, nobody knows: the guest is told so,
// and it is not done twice.
TEST_F(NsmEndToEnd, AnExtensionThatWasUnderWayFails) {
    const auto first = extend(16, "first");
    kill_attestor();
    auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
    Channel dying(std::move(pair.first));
    ASSERT_TRUE(socket->replace(std::move(pair.second)));
    begin_extend(16, "second");
    machine.run();
    ASSERT_EQ(api::open_envelope(dying.receive()->data)->type, wire::ExtendPcr::kType);
    dying.release();

    EXPECT_EQ(error_answer(), "InternalError");
    start_attestor();
    ASSERT_TRUE(socket->replace(resume()));
    EXPECT_EQ(to_bytes(*describe_pcr(16).find("data")->as_bytes()), first);
}

TEST_F(NsmEndToEnd, AnotherRestartIsLikeTheFirst) {
    const auto extended = extend(20, "kept");
    for (int restarts = 1; restarts <= 3; ++restarts) {
        kill_attestor();
        EXPECT_EQ(losses, restarts);
        start_attestor();
        ASSERT_TRUE(socket->replace(resume()));
        EXPECT_EQ(to_bytes(*describe_pcr(20).find("data")->as_bytes()), extended);
    }
}

// ECPrivateKey (RFC 5915) of a P-384 key begins INTEGER 1, OCTET STRING of 48.
TEST_F(NsmEndToEnd, NoBufferOfTheGuestHoldsAPrivateKey) {
    const Bytes marker = {0x02, 0x01, 0x01, 0x04, 0x30};
    verify(attestation({}, {}, {}));
    describe_pcr(0);
    error(cbor::Value::text("Nonsense"));
    fields("DescribeNSM", cbor::Value::text("DescribeNSM"));
    ASSERT_GT(seen_by_guest.size(), 2000U);

    EXPECT_EQ(as_text(seen_by_guest).find(as_text(marker)), std::string_view::npos);
    EXPECT_EQ(as_text(seen_by_guest).find("PRIVATE KEY"), std::string_view::npos);
    const auto memory = machine.bytes_at(memory::GuestAddress(virtio::FakeMachine::kMemoryBase), 1024 * 1024);
    EXPECT_EQ(as_text(memory).find(as_text(marker)), std::string_view::npos);
}

}  // namespace
}  // namespace alcove::attestor
