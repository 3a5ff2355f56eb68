// SPDX-License-Identifier: Apache-2.0
//
// What comes before every leaf, debugging, direct access, reports and sudden loss.
#include "sgx/engine.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

using enum StatusCode;

constexpr PageIndex kFree{20};

class EngineTest : public testing::Test {
  protected:
    explicit EngineTest(FakeMachine::Options options = {})
        : machine_(std::move(options)), cpu_(machine_, 0), kernel_(cpu_) {}
    ~EngineTest() override { EXPECT_EQ(machine_.engine().find_inconsistency(), std::nullopt); }

    // EREMOVE of a free page: works everywhere unless a check in front of it says no.
    std::optional<Exception> encls_in(const std::function<void(ProcessorMode&)>& change, uint64_t rax = 3) {
        return run(change, rax, 0, [&] { return machine_.engine().encls(cpu_.processor(), cpu_); });
    }
    std::optional<Exception> enclu_in(const std::function<void(ProcessorMode&)>& change, uint64_t rax = 2) {
        return run(change, rax, 3, [&] { return machine_.engine().enclu(cpu_.processor(), cpu_); });
    }
    template <typename Run>
    std::optional<Exception> run(const std::function<void(ProcessorMode&)>& change, uint64_t rax, uint8_t cpl,
                                 Run instruction) {
        ProcessorMode mode;
        mode.cpl = cpl;
        change(mode);
        cpu_.set_mode(mode);
        cpu_.registers().rax = rax;
        cpu_.registers().rbx = TestEnclave::kBase;
        cpu_.registers().rcx = epc_linear(kFree);
        const auto outcome = instruction();
        cpu_.set_mode({});
        const auto* exception = outcome.template ended_with<Exception>();
        return exception == nullptr ? std::nullopt : std::optional(*exception);
    }

    FakeMachine machine_;
    FakeCpu cpu_;
    EnclaveMaker kernel_;
};

TEST_F(EngineTest, EnclsHasItsPrioritiesInOrder) {
    EXPECT_EQ(encls_in([](ProcessorMode&) {}), std::nullopt);
    EXPECT_EQ(encls_in([](ProcessorMode& m) { m.protected_mode = false; }), kUndefinedOpcode);
    EXPECT_EQ(encls_in([](ProcessorMode& m) { m.smm = true; }), kUndefinedOpcode);
    EXPECT_EQ(encls_in([](ProcessorMode& m) { m.cpl = 3; }), kUndefinedOpcode);
    EXPECT_EQ(encls_in([](ProcessorMode& m) { m.cpl = 3; }, 0x99), kUndefinedOpcode);
    EXPECT_EQ(encls_in([](ProcessorMode& m) { m.paging = false; }), kGeneralProtection);
    EXPECT_EQ(encls_in([](ProcessorMode& m) { m.long_mode_64 = false; }), kGeneralProtection);
    for (const uint64_t leaf : {0x10, 0x11, 0x12, 0x13, 0x14, 0xff})  // ERDINFO and others: not advertised
        EXPECT_EQ(encls_in([](ProcessorMode&) {}, leaf), kGeneralProtection);
    EXPECT_EQ(encls_in([](ProcessorMode&) {}, 0xffff'ffff'0000'0003), std::nullopt);  // EAX counts
}

TEST_F(EngineTest, EncluHasItsPrioritiesInOrder) {
    EXPECT_EQ(enclu_in([](ProcessorMode& m) { m.protected_mode = false; }), kUndefinedOpcode);
    EXPECT_EQ(enclu_in([](ProcessorMode& m) {
                  m.task_switched = true;
                  m.cpl = 0;
              }),
              (Exception{.vector = vector::NM}));
    EXPECT_EQ(enclu_in([](ProcessorMode& m) { m.cpl = 0; }), kUndefinedOpcode);
    EXPECT_EQ(enclu_in([](ProcessorMode& m) { m.numeric_error = false; }), kGeneralProtection);
    EXPECT_EQ(enclu_in([](ProcessorMode&) {}, 8), kGeneralProtection);
    EXPECT_EQ(enclu_in([](ProcessorMode&) {}, 9), kGeneralProtection);
    for (const auto leaf : {Enclu::EREPORT, Enclu::EGETKEY, Enclu::EEXIT, Enclu::EACCEPT, Enclu::EMODPE,
                            Enclu::EACCEPTCOPY})  // outside
        EXPECT_EQ(enclu_in([](ProcessorMode&) {}, static_cast<uint64_t>(leaf)), kGeneralProtection);
}

class EngineWithoutSgx2 : public EngineTest {
  protected:
    EngineWithoutSgx2() : EngineTest(options()) {}
    static FakeMachine::Options options() {
        FakeMachine::Options options;
        options.features.sgx2 = false;
        return options;
    }
};

TEST_F(EngineWithoutSgx2, ItsLeavesAreUnknown) {
    EXPECT_EQ(encls_in([](ProcessorMode&) {}), std::nullopt);
    for (const auto leaf : {Encls::EAUG, Encls::EMODPR, Encls::EMODT})
        EXPECT_EQ(encls_in([](ProcessorMode&) {}, static_cast<uint64_t>(leaf)), kGeneralProtection);
}

class EngineWithoutSgx : public EngineTest {
  protected:
    EngineWithoutSgx() : EngineTest(options()) {}
    static FakeMachine::Options options() {
        FakeMachine::Options options;
        options.features.sgx1 = false;
        return options;
    }
};

TEST_F(EngineWithoutSgx, TheInstructionsAreUnknown) {
    EXPECT_EQ(encls_in([](ProcessorMode&) {}), kUndefinedOpcode);
    EXPECT_EQ(enclu_in([](ProcessorMode&) {}), kUndefinedOpcode);
}

TEST_F(EngineTest, AStatusLeafClearsTheArithmeticFlags) {
    ASSERT_EQ(kernel_.eremove(kFree), success());
    EXPECT_EQ(cpu_.registers().rflags, rflags::FIXED | rflags::IF);
    ASSERT_EQ(kernel_.eblock(kFree), status(PG_INVLD));
    EXPECT_EQ(cpu_.registers().rflags, rflags::FIXED | rflags::IF | rflags::ZF);
}

TEST_F(EngineTest, ExecutionGoesOnBehindTheInstruction) {
    cpu_.registers().rip = 0x5000;
    ASSERT_EQ(kernel_.eremove(kFree), success());
    EXPECT_EQ(cpu_.registers().rip, 0x5003U);
    ASSERT_EQ(kernel_.encls(Encls::EREMOVE, 0, 1), gp());
    EXPECT_EQ(cpu_.registers().rip, 0x5003U);
}

TEST_F(EngineTest, DebugEnclavesAreReadAndWritten) {
    const auto enclave = TestEnclave::make(kernel_, PageIndex{0}, attributes::MODE64BIT | attributes::DEBUG);
    const uint64_t data = epc_linear(enclave.epc(3));
    EXPECT_EQ(kernel_.encls(Encls::EDBGWR, 0x1122'3344'5566'7788, data + 16), success());
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 0, data + 16), success());
    EXPECT_EQ(cpu_.registers().rbx, 0x1122'3344'5566'7788U);
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 0, data + 4), gp());
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 0, epc_linear(enclave.secs)),
              epcm_pf(epc_linear(enclave.secs), 0));
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 0, epc_linear(kFree)), epcm_pf(epc_linear(kFree), 0));

    const uint64_t tcs = epc_linear(enclave.epc(0));
    EXPECT_EQ(kernel_.encls(Encls::EDBGWR, TCS::DBGOPTIN, tcs + 8), success());
    EXPECT_EQ(kernel_.encls(Encls::EDBGWR, 1, tcs), gp());
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 0, tcs + 64), success());
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 0, tcs + 72), gp());
    // The thread may now be single-stepped.
    cpu_.registers().rflags |= rflags::TF;
    ASSERT_EQ(kernel_.enter(enclave.tcs()), success());
    EXPECT_NE(cpu_.registers().rflags & rflags::TF, 0U);
    kernel_.interrupt();
}

TEST_F(EngineTest, OthersAreNot) {
    const auto enclave = TestEnclave::make(kernel_);
    const uint64_t data = epc_linear(enclave.epc(3));
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 7, data), gp());
    EXPECT_EQ(kernel_.encls(Encls::EDBGWR, 7, data), gp());
    ASSERT_EQ(kernel_.emod(Encls::EMODT, enclave.epc(3), secinfo::pt(PageType::TCS)), success());
    EXPECT_EQ(kernel_.encls(Encls::EDBGRD, 7, data), status(PAGE_NOT_DEBUGGABLE));
}

TEST_F(EngineTest, OfAVersionOnlyItsPresenceIsShown) {
    constexpr PageIndex kVa{21};
    const auto enclave = TestEnclave::make(kernel_);
    ASSERT_EQ(kernel_.epa(kVa), success());
    ASSERT_EQ(kernel_.eblock(enclave.epc(3)), success());
    ASSERT_EQ(kernel_.etrack(enclave.secs), success());
    ASSERT_EQ(kernel_.ewb(enclave.epc(3), kernel_.spare(), kVa, 1), success());
    ASSERT_EQ(kernel_.encls(Encls::EDBGRD, 0, epc_linear(kVa)), success());
    EXPECT_EQ(cpu_.registers().rbx, 0U);
    ASSERT_EQ(kernel_.encls(Encls::EDBGRD, 0, epc_linear(kVa) + 8), success());
    EXPECT_EQ(cpu_.registers().rbx, ~uint64_t{0});
    EXPECT_EQ(kernel_.encls(Encls::EDBGWR, 0, epc_linear(kVa)), epcm_pf(epc_linear(kVa)));
}

TEST_F(EngineTest, OperandsInEpcReadAsOnes) {
    const auto enclave = TestEnclave::make(kernel_);
    // A PAGEINFO full of ones is misaligned in every field.
    EXPECT_EQ(kernel_.encls(Encls::EADD, epc_linear(enclave.epc(3)), epc_linear(kFree)), gp());
    // EWB's output to EPC is dropped.
    constexpr PageIndex kVa{21};
    ASSERT_EQ(kernel_.epa(kVa), success());
    ASSERT_EQ(kernel_.eblock(enclave.epc(3)), success());
    ASSERT_EQ(kernel_.etrack(enclave.secs), success());
    std::ranges::fill(machine_.epc_bytes(enclave.epc(4)), uint8_t{0x31});
    ASSERT_EQ(kernel_.ewb(enclave.epc(3), epc_linear(enclave.epc(4)), kVa, 1), success());
    EXPECT_EQ(machine_.epc_bytes(enclave.epc(4))[0], 0x31);
}

class DirectAccessTest : public EngineTest {
  protected:
    DirectAccessTest() : enclave_(TestEnclave::make(kernel_)) {}
    ~DirectAccessTest() override { kernel_.interrupt(); }
    void SetUp() override { ASSERT_EQ(kernel_.enter(enclave_.tcs()), success()); }
    Outcome<DirectAccess::Answer> ask(uint64_t linear, Access access, PageIndex page) {
        return machine_.engine().check_access(cpu_.processor(), linear, access,
                                              machine_.engine().sections().address_of(page));
    }
    Exception fault(uint64_t linear, Access access, PageIndex page) {
        const auto outcome = ask(linear, access, page);
        const auto* exception = outcome.ended_with<Exception>();
        return exception == nullptr ? Exception{} : *exception;
    }
    uint64_t rights(uint64_t linear, Access access, PageIndex page) {
        const auto outcome = ask(linear, access, page);
        return outcome ? std::get<DirectAccess::Enclosed>(*outcome).rights : 0;
    }
    TestEnclave enclave_;
};

TEST_F(DirectAccessTest, FollowsTheEpcm) {
    EXPECT_EQ(rights(enclave_.data() + 5, Access::Read, enclave_.epc(3)), secinfo::R | secinfo::W);
    EXPECT_EQ(rights(enclave_.at(2), Access::Execute, enclave_.epc(2)), secinfo::R | secinfo::X);
    EXPECT_EQ(fault(enclave_.at(2) + 9, Access::Write, enclave_.epc(2)),
              (Exception{vector::PF, 0x8007, enclave_.at(2) + 9}));
    EXPECT_EQ(fault(enclave_.data(), Access::Execute, enclave_.epc(3)),
              (Exception{vector::PF, 0x8015, enclave_.data()}));
    EXPECT_EQ(fault(enclave_.tcs(), Access::Read, enclave_.epc(0)),
              (Exception{vector::PF, 0x8005, enclave_.tcs()}));
    // A page of its own, at another address; a free one; the SECS.
    for (const auto page : {enclave_.epc(4), kFree, enclave_.secs})
        EXPECT_EQ(fault(enclave_.data(), Access::Read, page).error_code, 0x8005U);
}

TEST_F(DirectAccessTest, NothingOfAnotherEnclavesIsReached) {
    FakeCpu other(machine_, 1);
    EnclaveMaker second(other);
    const auto stranger = TestEnclave::make(second, PageIndex{30});  // at the same addresses
    EXPECT_EQ(fault(enclave_.data(), Access::Read, stranger.epc(3)).error_code, 0x8005U);
}

TEST_F(DirectAccessTest, TheRangeIsEpcAndCodeStaysInIt) {
    const auto outcome = machine_.engine().check_access(cpu_.processor(), enclave_.data(), Access::Read,
                                                        memory::GuestAddress(1_MiB));
    ASSERT_NE(outcome.ended_with<Exception>(), nullptr);
    EXPECT_EQ(outcome.ended_with<Exception>()->error_code, 0x8005U);
    const uint64_t outside = enclave_.base + TestEnclave::kSize;
    EXPECT_EQ(fault(outside, Access::Execute, enclave_.epc(2)), kGeneralProtection);
    const auto data = ask(outside, Access::Write, enclave_.epc(3));
    ASSERT_TRUE(data.has_value());
    EXPECT_TRUE(std::holds_alternative<DirectAccess::Ordinary>(*data));
}

TEST_F(EngineTest, TheReportCountsPagesThreadsAndLeaves) {
    const auto enclave = TestEnclave::make(kernel_);
    ASSERT_EQ(kernel_.enter(enclave.tcs()), success());
    const auto report = machine_.engine().report();
    EXPECT_EQ(report.valid_pages, TestEnclave::kPages);
    EXPECT_EQ(report.occupancy.resident, 64U);
    ASSERT_EQ(report.enclaves.size(), 1U);
    EXPECT_EQ(report.enclaves[0].pages, TestEnclave::kPages);
    EXPECT_EQ(report.enclaves[0].threads_inside, 1U);
    EXPECT_EQ(report.enclaves[0].entries, 1U);
    EXPECT_EQ(report.enclaves[0].enclu.at(static_cast<size_t>(Enclu::EENTER)), 1U);
    const auto count = [&](std::string_view name) {
        return std::ranges::find(report.leaves, name, &LeafCount::name)->completed;
    };
    EXPECT_EQ(count("ECREATE"), 1U);
    EXPECT_EQ(count("EADD"), 7U);
    EXPECT_EQ(count("EEXTEND"), 5U * 16);
    EXPECT_EQ(count("EENTER"), 1U);
    EXPECT_EQ(count("EWB"), 0U);
    EXPECT_EQ(report.asynchronous_exits, 0U);
    kernel_.interrupt();
    EXPECT_EQ(machine_.engine().report().asynchronous_exits, 1U);
}

// Each leaf of ENCLS counts for the enclave that it worked for, and for no other.
TEST_F(EngineTest, TheReportSaysWhichLeavesWorkedForAnEnclave) {
    const auto enclave = TestEnclave::make(kernel_, PageIndex{0}, attributes::MODE64BIT | attributes::DEBUG);
    TestEnclave::make(kernel_, PageIndex{8}, attributes::MODE64BIT, 0x7e00'0000'0000);
    constexpr PageIndex kVa{16};
    const uint64_t address = epc_linear(enclave.epc(3));
    ASSERT_EQ(kernel_.epa(kVa), success());
    ASSERT_EQ(kernel_.encls(Encls::EDBGWR, 5, address), success());
    ASSERT_EQ(kernel_.encls(Encls::EDBGRD, 0, address), success());
    ASSERT_EQ(kernel_.eaug(kFree, enclave.secs, enclave.free_linear(0)), success());
    ASSERT_EQ(kernel_.emod(Encls::EMODPR, enclave.epc(4), secinfo::R), success());
    ASSERT_EQ(kernel_.emod(Encls::EMODT, enclave.epc(4), secinfo::pt(PageType::TRIM)), success());
    for (const auto load : {Encls::ELDU, Encls::ELDB}) {
        ASSERT_EQ(kernel_.eblock(enclave.epc(3)), success());
        ASSERT_EQ(kernel_.etrack(enclave.secs), success());
        ASSERT_EQ(kernel_.ewb(enclave.epc(3), kernel_.spare(), kVa, 0), success());
        ASSERT_EQ(kernel_.eld(load, enclave.epc(3), kernel_.spare(), enclave.at(3), enclave.secs, kVa, 0),
                  success());
    }
    ASSERT_EQ(kernel_.eremove(enclave.epc(6)), success());

    const auto report = machine_.engine().report();

    ASSERT_EQ(report.enclaves.size(), 2U);
    // ECREATE, EADD, EINIT, EREMOVE, EDBGRD, EDBGWR, EEXTEND, ELDB, ELDU, EBLOCK, EPA, EWB, ETRACK, EAUG, ...
    EXPECT_EQ(report.enclaves[0].encls,
              (std::array<uint64_t, 16>{1, 7, 1, 1, 1, 1, 80, 1, 1, 2, 0, 2, 2, 1, 1, 1}));
    EXPECT_EQ(report.enclaves[1].encls, (std::array<uint64_t, 16>{1, 7, 1, 0, 0, 0, 80}));
}

TEST_F(EngineTest, SuddenLossIsAllPagesInvalid) {
    const auto enclave = TestEnclave::make(kernel_);
    ASSERT_EQ(kernel_.enter(enclave.tcs()), success());
    kernel_.interrupt();
    machine_.engine().drop_all();
    EXPECT_EQ(machine_.engine().report().valid_pages, 0U);
    EXPECT_EQ(kernel_.resume(enclave.tcs()), epcm_pf(enclave.tcs(), pfec::U | pfec::W));
    EXPECT_EQ(kernel_.enter(enclave.tcs()), epcm_pf(enclave.tcs(), pfec::U | pfec::W));
    EXPECT_EQ(kernel_.eremove(enclave.secs), success());
    EXPECT_EQ(kernel_.eblock(enclave.epc(3)), status(PG_INVLD));
    EXPECT_TRUE(
        std::ranges::all_of(machine_.epc_bytes(enclave.epc(2)), [](uint8_t byte) { return byte == 0; }));
    const auto again = TestEnclave::make(kernel_);
    EXPECT_EQ(kernel_.enter(again.tcs()), success());
    kernel_.interrupt();
}

TEST_F(EngineTest, SeveralSectionsAreOneEpc) {
    FakeMachine::Options options;
    options.sections = {{memory::GuestAddress(64_GiB), 4 * kPageSize},
                        {memory::GuestAddress(32_GiB), 60 * kPageSize}};
    FakeMachine machine(std::move(options));
    FakeCpu cpu(machine, 0);
    EnclaveMaker kernel(cpu);
    const auto enclave = TestEnclave::make(kernel);
    EXPECT_EQ(kernel.enter(enclave.tcs()), success());
    kernel.interrupt();
}

TEST(ProcessorTest, RegistersFollowTheConfiguration) {
    Features features;
    Processor writable(0, features);
    EXPECT_EQ(writable.read_msr(0x3a), 0x6'0001U);
    EXPECT_EQ(writable.read_msr(0x8c), kIntelLaunchHash[0]);
    EXPECT_TRUE(writable.write_msr(0x8f, 77));
    EXPECT_EQ(writable.read_msr(0x8f), 77U);
    EXPECT_FALSE(writable.write_msr(0x3a, 1));
    EXPECT_EQ(writable.read_msr(0x90), std::nullopt);
    EXPECT_EQ(writable.read_msr(0x8b), std::nullopt);
    features.launch_hash_writable = false;
    Processor locked(0, features);
    EXPECT_EQ(locked.read_msr(0x3a), 0x4'0001U);
    EXPECT_FALSE(locked.write_msr(0x8c, 1));
}

}  // namespace
}  // namespace alcove::sgx
