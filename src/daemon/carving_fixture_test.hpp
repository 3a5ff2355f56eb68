// SPDX-License-Identifier: Apache-2.0
//
// For tests: a primary VM of two cores, and of 512 MiB if nothing else is said, that may carve. The test
// speaks as its VMM does.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "daemon/supervisor_fixture_test.hpp"
#include "ne/message_codec.hpp"

namespace alcove::daemon {

namespace messages = api::ne;

class CarvingTest : public SupervisorTest {
  protected:
    explicit CarvingTest(uint64_t memory_bytes = 512_MiB) {
        capacity_.nodes[0].small_bytes = 2 * memory_bytes;
        restart();
        auto launch = request("dev", 4);
        launch.role = api::VmRole::Primary;
        launch.memory_bytes = memory_bytes;
        launch.enclaves = true;
        primary_ = supervisor_->launch(std::move(launch)).value().id;
        EXPECT_TRUE(until([&] { return record(primary_).state == VmState::Running; }));
        connect(0);
    }

    VmRecord record(const std::string& id) {
        auto found = supervisor_->find(id, api::VmRole::Primary);
        return found ? *found : supervisor_->find(id).value();
    }
    // The VMM asks its shim for a line, and speaks on it.
    void connect(uint32_t life) {
        host_.want_ne_line(primary_, life);
        Fd line;
        ASSERT_TRUE(until([&] {
            line = host_.ne_line(primary_);
            return line.is_open();
        }));
        vmm_ = std::make_unique<Channel>(std::move(line));
        ASSERT_TRUE(vmm_->send(api::encode_hello(messages::kProtocol, messages::kVersions)));
    }
    // The next message of alcoved but its Hello.
    Bytes received() {
        std::optional<Bytes> message;
        EXPECT_TRUE(until([&] {
            auto next = vmm_->receive_within(milliseconds(1));
            if (next && api::open_envelope(next->data)->type != api::Hello::kType) message = next->data;
            return message.has_value();
        }));
        return message.value_or(Bytes());
    }
    void send(const ne::Request& request) { ASSERT_TRUE(vmm_->send(ne::encode_request(++number_, request))); }
    ne::Reply ask(const ne::Request& request) {
        send(request);
        return reply();
    }
    // An alcoved that comes back tells once more of what has ended.
    ne::Reply reply() {
        auto message = received();
        auto envelope = api::open_envelope(message);
        while (envelope && envelope->type == messages::SlotChanged::kType) {
            message = received();
            envelope = api::open_envelope(message);
        }
        EXPECT_TRUE(envelope);
        const auto numbered = ne::decode_reply(*envelope);
        EXPECT_TRUE(numbered) << numbered.error().to_string();
        EXPECT_EQ(numbered->id, number_);
        return numbered->reply;
    }
    int rc(const ne::Request& request) { return ne::rc_of(ask(request)); }

    std::string enclave_id(uint64_t slot) const {
        char digits[17];
        std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(slot));
        return primary_ + "-enc" + digits;
    }
    // A slot with 128 MiB at 256 MiB and the second core.
    void prepare() {
        slot_ = ask(ne::SlotAlloc{.unused = 0}).slot_uid;
        enclave_ = enclave_id(slot_);
        ASSERT_EQ(rc(ne::SlotAddMem{.slot_uid = slot_, .paddr = 256_MiB, .size = 128_MiB}), 0);
        for (const uint32_t vcpu : {2U, 3U})
            ASSERT_EQ(rc(ne::SlotAddVcpu{.slot_uid = slot_, .vcpu_id = vcpu, .padding = {}}), 0);
    }
    void run_enclave(uint64_t flags = 0) {
        prepare();
        const auto reply = ask(ne::EnclaveStart{.slot_uid = slot_, .enclave_cid = 0, .flags = flags});
        ASSERT_EQ(ne::rc_of(reply), 0);
        EXPECT_EQ(reply.enclave_cid, 16U);
        ASSERT_TRUE(until_state(enclave_, VmState::Running));
    }

    std::string primary_;
    std::string enclave_;
    uint64_t slot_ = 0;
    uint32_t number_ = 0;
    std::unique_ptr<Channel> vmm_;
};

}  // namespace alcove::daemon
