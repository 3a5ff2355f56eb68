// SPDX-License-Identifier: Apache-2.0
//
// Streams of commands by chance, sensible and not, from a primary VM's driver through alcoved to shims and
// broker, while enclaves end, the host is short of memory and alcoved is killed. At every moment each byte
// and core is somebody's, and in the end all are the primary's again. What a single table makes of such
// streams is fuzz_ne_commands' business.
#include <random>

#include <gmock/gmock.h>

#include "daemon/carving_fixture_test.hpp"

namespace alcove::daemon {
namespace {

class CarvingStreamTest : public CarvingTest, public testing::WithParamInterface<uint32_t> {
  protected:
    uint64_t below(uint64_t limit) { return random_() % limit; }
    bool one_in(uint64_t count) { return below(count) == 0; }

    uint64_t some_slot() {
        if (slots_.empty() || one_in(20)) return one_in(2) ? last_freed_ : random_();
        return one_in(3) ? slots_[below(slots_.size())] : slots_.back();
    }
    ne::Request some_memory() {
        constexpr uint64_t kSizes[] = {2_MiB, 64_MiB, 64_MiB, 96_MiB};
        const uint64_t size = one_in(20) ? random_() : kSizes[below(std::size(kSizes))];
        const uint64_t paddr = one_in(20) ? random_() : 2_MiB * below(260);
        return ne::SlotAddMem{.slot_uid = some_slot(), .paddr = paddr, .size = size};
    }
    ne::Request some_vcpu() {
        const auto vcpu = static_cast<uint32_t>(one_in(4) ? below(6) : 2 + below(2));
        return ne::SlotAddVcpu{.slot_uid = some_slot(), .vcpu_id = vcpu, .padding = {}};
    }
    ne::Request some_start() {
        return ne::EnclaveStart{.slot_uid = some_slot(),
                                .enclave_cid = one_in(4) ? below(20) : 0,
                                .flags = one_in(6) ? 2 : below(2)};
    }
    ne::Request some_question() {
        switch (below(4)) {
            case 0:
                return ne::SlotInfo{.slot_uid = some_slot()};
            case 1:
                return ne::NextSlot{.slot_uid = some_slot()};
            case 2:
                return ne::EnclaveGetSlot{.enclave_cid = 15 + below(4)};
            default:
                return ne::SlotCount{.unused = 0};
        }
    }
    ne::Request some_command() {
        const auto chance = below(14);
        if (chance < 3) return some_memory();
        if (chance < 6) return some_vcpu();
        if (chance < 9) return some_start();
        switch (chance) {
            case 9:
                return ne::SlotAlloc{.unused = 0};
            case 10:
                return ne::SlotAddBulkVcpus{.slot_uid = some_slot(), .nr_vcpus = below(4)};
            case 11:
                return ne::EnclaveStop{.slot_uid = some_slot()};
            case 12:
                return ne::SlotFree{.slot_uid = some_slot()};
            default:
                return some_question();
        }
    }
    void something_happens() {
        const auto present = host_.present();
        const auto& one = present[below(present.size())];
        if (one_in(12) && one != primary_) host_.end(one, api::StopReason::TripleFault);
        if (one_in(15)) host_.refuse_next_memory(Error(ErrorCode::OutOfMemory, "none"));
        if (one_in(50)) {
            restart();
            connect(0);
        }
    }
    void note(const ne::Request& request, const ne::Reply& reply) {
        ASSERT_TRUE(ne::is_valid_rc(ne::rc_of(reply)));
        if (ne::rc_of(reply) < 0) return;
        std::visit([&](const auto& body) { ++done_[body.kCommand]; }, request);
        if (std::holds_alternative<ne::SlotAlloc>(request)) slots_.push_back(reply.slot_uid);
        if (const auto* free = std::get_if<ne::SlotFree>(&request)) {
            last_freed_ = free->slot_uid;
            std::erase(slots_, last_freed_);
        }
    }
    void expect_nothing_is_lost_or_doubled() {
        uint64_t bytes = 0;
        size_t cpus = 0;
        for (const auto& grant : ledger_->grants()) {
            bytes += grant.memory_bytes();
            cpus += grant.cpus.size();
        }
        EXPECT_EQ(bytes, whole_.memory_bytes());
        EXPECT_EQ(cpus, whole_.cpus.size());
    }
    void release_all() {
        ASSERT_TRUE(vmm_->send(api::encode(messages::ReleaseAll{.request = 7, .reserved = {}})));
        while (api::open_envelope(received())->type != messages::Released::kType)
            ASSERT_FALSE(HasFailure());
    }

    std::mt19937_64 random_{GetParam()};
    const host::Grant whole_ = supervisor_->grant(primary_).value();
    std::vector<uint64_t> slots_;
    uint64_t last_freed_ = 0;
    std::map<ne::Command, int> done_;  // that succeeded
};

TEST_P(CarvingStreamTest, EndsWithEverythingWhereItWas) {
    constexpr int kCommands = 400;
    for (int i = 0; i < kCommands; ++i) {
        const auto request = some_command();
        ASSERT_NO_FATAL_FAILURE(note(request, ask(request)));
        expect_nothing_is_lost_or_doubled();
        ASSERT_FALSE(HasFailure()) << "command " << i << " of seed " << GetParam();
        ASSERT_NO_FATAL_FAILURE(something_happens());
    }
    using enum ne::Command;
    for (const auto command : {SLOT_ADD_MEM, SLOT_ADD_VCPU, ENCLAVE_START, ENCLAVE_STOP, SLOT_FREE})
        EXPECT_GT(done_[command], 0) << "never succeeded: " << static_cast<uint32_t>(command);

    ASSERT_NO_FATAL_FAILURE(release_all());

    EXPECT_EQ(ask(ne::SlotCount{.unused = 0}).slot_count, 0U);
    EXPECT_EQ(supervisor_->grant(primary_), whole_);
    EXPECT_EQ(ledger_->grants().size(), 1U);
    EXPECT_EQ(host_.present(), std::vector{primary_});
    for (const auto& one : supervisor_->list())
        EXPECT_TRUE(one.id == primary_ || is_over(one.state)) << one.id << " is " << state_name(one.state);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CarvingStreamTest, testing::Values(1U, 2U));

}  // namespace
}  // namespace alcove::daemon
