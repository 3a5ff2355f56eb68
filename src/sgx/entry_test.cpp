// SPDX-License-Identifier: Apache-2.0
//
// EENTER, ERESUME, EEXIT and the asynchronous exit.
#include <array>

#include <gtest/gtest.h>

#include "sgx/enclave_maker.hpp"

namespace alcove::sgx {
namespace {

class Entry : public testing::Test {
  protected:
    Entry() : cpu_(machine_, 0), user_(cpu_) {
        // An address that means something before and after.
        cpu_.registers().rip = 0x40'0000;
        cpu_.registers().rsp = 0x7fff'0000'1000;
        cpu_.registers().rbp = 0x7fff'0000'2000;
        cpu_.registers().fs = {.selector = 0, .base = 0x1111'0000, .limit = 0xffff'ffff, .rights = 0xc093};
        cpu_.registers().gs = {.selector = 0, .base = 0x2222'0000, .limit = 0xffff'ffff, .rights = 0xc093};
    }
    ~Entry() override {
        if (cpu_.processor().is_inside()) user_.interrupt();
        EXPECT_EQ(machine_.engine().find_inconsistency(), std::nullopt);
    }
    TestEnclave make(const std::function<void(SECS&, SIGSTRUCT&)>& change = {},
                     uint64_t flags = attributes::MODE64BIT) {
        return TestEnclave::make(user_, PageIndex{0}, flags, TestEnclave::kBase, change);
    }
    TCS tcs_of(const TestEnclave& enclave) {
        TCS tcs;
        std::memcpy(&tcs, machine_.epc_bytes(enclave.epc(0)).data(), sizeof tcs);
        return tcs;
    }
    void put_tcs(const TestEnclave& enclave, const std::function<void(TCS&)>& change) {
        TCS tcs = tcs_of(enclave);
        change(tcs);
        std::memcpy(machine_.epc_bytes(enclave.epc(0)).data(), &tcs, sizeof tcs);
    }
    GPRSGX gpr_of(const TestEnclave& enclave) {
        GPRSGX gpr;
        std::memcpy(&gpr, machine_.epc_bytes(enclave.epc(1)).data() + kPageSize - sizeof gpr, sizeof gpr);
        return gpr;
    }
    void put_gpr(const TestEnclave& enclave, const std::function<void(GPRSGX&)>& change) {
        GPRSGX gpr = gpr_of(enclave);
        change(gpr);
        std::memcpy(machine_.epc_bytes(enclave.epc(1)).data() + kPageSize - sizeof gpr, &gpr, sizeof gpr);
    }
    Answer user_pf(uint64_t address, uint32_t bits = pfec::W) { return epcm_pf(address, pfec::U | bits); }

    FakeMachine machine_;
    FakeCpu cpu_;
    EnclaveMaker user_;
};

TEST_F(Entry, EenterGoesToTheEntryPoint) {
    const auto enclave = make();
    auto& regs = cpu_.registers();
    regs.rip = 0x40'0000;
    const Registers before = regs;
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_EQ(regs.rip, enclave.at(2));
    EXPECT_EQ(regs.rcx, before.rip + 3);
    EXPECT_EQ(regs.rbx, enclave.tcs());
    EXPECT_EQ(regs.rax, 0U);  // CSSA
    EXPECT_EQ(regs.rsp, before.rsp);
    EXPECT_EQ(regs.fs.base, enclave.base);
    EXPECT_EQ(regs.fs.selector, 0x0b);
    EXPECT_EQ(regs.xcr0, 3U);
    EXPECT_EQ(gpr_of(enclave).URSP, before.rsp);
    EXPECT_EQ(gpr_of(enclave).URBP, before.rbp);
    EXPECT_EQ(tcs_of(enclave).STATE, 1U);
    EXPECT_EQ(tcs_of(enclave).AEP, EnclaveMaker::kAep);
    ASSERT_TRUE(cpu_.world().has_value());
    EXPECT_EQ(cpu_.world()->base, enclave.base);
    EXPECT_EQ(machine_.engine().report().enclaves.front().threads_inside, 1U);
}

TEST_F(Entry, EexitGoesWhereTheEnclaveWants) {
    const auto enclave = make();
    const Segment fs = cpu_.registers().fs;
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    cpu_.registers().rsp = 0x1234;
    ASSERT_EQ(user_.enclu(Enclu::EEXIT, 0x40'2000), success());
    const auto& regs = cpu_.registers();
    EXPECT_EQ(regs.rip, 0x40'2000U);
    EXPECT_EQ(regs.rcx, EnclaveMaker::kAep);
    EXPECT_EQ(regs.rsp, 0x1234U);  // the enclave's own affair
    EXPECT_EQ(regs.fs, fs);
    EXPECT_EQ(regs.xcr0, 7U);
    EXPECT_EQ(tcs_of(enclave).STATE, 0U);
    EXPECT_FALSE(cpu_.world().has_value());
    EXPECT_FALSE(cpu_.processor().is_inside());
}

TEST_F(Entry, EexitToNoAddressIsAFaultInside) {
    const auto enclave = make();
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_EQ(user_.enclu(Enclu::EEXIT, uint64_t{1} << 47), gp());
    EXPECT_TRUE(cpu_.processor().is_inside());
}

TEST_F(Entry, EenterRefusesWhatIsNoThread) {
    const auto enclave = make();
    EXPECT_EQ(user_.enter(enclave.tcs() + 8), gp());
    EXPECT_EQ(user_.enclu(Enclu::EENTER, enclave.tcs(), uint64_t{1} << 47), gp());
    EXPECT_EQ(user_.enter(enclave.data()), user_pf(enclave.data()));
    EXPECT_EQ(user_.enter(enclave.free_linear()).fault,
              (Exception{vector::PF, pfec::U | pfec::W, enclave.free_linear()}));
    machine_.map_epc(enclave.free_linear(), enclave.epc(0));  // at another address
    EXPECT_EQ(user_.enter(enclave.free_linear()), user_pf(enclave.free_linear()));
    machine_.map(enclave.free_linear(), {.address = memory::GuestAddress(1_MiB)});
    EXPECT_EQ(user_.enter(enclave.free_linear()), user_pf(enclave.free_linear()));
    ASSERT_EQ(user_.eblock(enclave.epc(0)), success());
    EXPECT_EQ(user_.enter(enclave.tcs()), user_pf(enclave.tcs()));
}

TEST_F(Entry, EenterChecksTheThread) {
    const auto enclave = make();
    const auto refused = [&](const std::function<void(TCS&)>& change) {
        const TCS good = tcs_of(enclave);
        put_tcs(enclave, change);
        const auto answer = user_.enter(enclave.tcs());
        put_tcs(enclave, [&](TCS& tcs) { tcs = good; });
        return answer == gp();
    };
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.OSSA = 8; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.OFSBASE = 8; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.OGSBASE = 0x800; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.FLAGS = 2; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.NSSA = 0; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.CSSA = 1; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.STATE = 1; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.OENTRY = uint64_t{1} << 60; }));
    EXPECT_TRUE(refused([](TCS& tcs) { tcs.OGSBASE = uint64_t{1} << 60; }));
    EXPECT_EQ(user_.enter(enclave.tcs()), success());
}

TEST_F(Entry, TheFrameHasToBeThere) {
    const auto enclave = make();
    const uint64_t ssa = enclave.at(1);
    machine_.unmap(ssa);
    EXPECT_EQ(user_.enter(enclave.tcs()).fault, (Exception{vector::PF, pfec::U | pfec::W, ssa}));
    machine_.map(ssa,
                 {.address = machine_.engine().sections().address_of(enclave.epc(1)), .writable = false});
    EXPECT_EQ(user_.enter(enclave.tcs()).fault, (Exception{vector::PF, pfec::P | pfec::U | pfec::W, ssa}));
    machine_.map_epc(ssa, enclave.epc(3));  // another page of the enclave's
    EXPECT_EQ(user_.enter(enclave.tcs()), user_pf(ssa));
    machine_.map_epc(ssa, enclave.epc(1));
    ASSERT_EQ(user_.emod(Encls::EMODPR, enclave.epc(1), secinfo::R), success());
    EXPECT_EQ(user_.enter(enclave.tcs()), user_pf(ssa));
    EXPECT_FALSE(cpu_.processor().is_inside());
    EXPECT_EQ(machine_.engine().report().enclaves.front().threads_inside, 0U);
}

TEST_F(Entry, AThreadIsInsideOnce) {
    const auto enclave = make();
    FakeCpu other(machine_, 1);
    EnclaveMaker second(other);
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_EQ(second.enter(enclave.tcs()), gp());
    EXPECT_EQ(second.enter(enclave.tcs2()), success());
    EXPECT_EQ(machine_.engine().report().enclaves.front().threads_inside, 2U);
    EXPECT_EQ(user_.enter(enclave.tcs2()), gp());  // inside already
    second.interrupt();
}

TEST_F(Entry, TheProcessorHasToFit) {
    const auto enclave = make([](SECS& secs, SIGSTRUCT&) { secs.ATTRIBUTES.XFRM = 7; });
    cpu_.registers().xcr0 = 3;
    EXPECT_EQ(user_.enter(enclave.tcs()), gp());
    cpu_.registers().xcr0 = 7;
    auto mode = cpu_.mode();
    mode.osfxsr = false;
    cpu_.set_mode(mode);
    EXPECT_EQ(user_.enter(enclave.tcs()), gp());
    mode.osfxsr = true;
    mode.osxsave = false;
    cpu_.set_mode(mode);
    EXPECT_EQ(user_.enter(enclave.tcs()), gp());
    mode.osxsave = true;
    cpu_.set_mode(mode);
    EXPECT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_EQ(cpu_.registers().xcr0, 7U);
}

TEST_F(Entry, AnInterruptShowsNothingOfTheEnclave) {
    const auto enclave = make();
    const Segment gs = cpu_.registers().gs;
    const uint64_t rsp = cpu_.registers().rsp;
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    auto& regs = cpu_.registers();
    regs.rax = 0xa;
    regs.rbx = 0xb;
    regs.rcx = 0xc;
    regs.rdx = 0xd;
    regs.rsi = 0xe;
    regs.rdi = 0xf;
    regs.rsp = enclave.data() + 0x800;
    regs.rbp = enclave.data() + 0x900;
    for (size_t i = 0; i < 8; ++i)
        regs.r8_r15[i] = 100 + i;
    regs.rip = enclave.at(2) + 0x123;
    regs.rflags = rflags::FIXED | rflags::IF | rflags::kArithmetic | rflags::DF;
    regs.fs.base = 0x5000;
    EXPECT_EQ(user_.interrupt(), Event{});

    EXPECT_EQ(regs.rax, 3U);
    EXPECT_EQ(regs.rbx, enclave.tcs());
    EXPECT_EQ(regs.rcx, EnclaveMaker::kAep);
    EXPECT_EQ(regs.rip, EnclaveMaker::kAep);
    EXPECT_EQ(regs.rdx | regs.rsi | regs.rdi, 0U);
    EXPECT_EQ(regs.r8_r15, (std::array<uint64_t, 8>{}));
    EXPECT_EQ(regs.rsp, rsp);
    EXPECT_EQ(regs.gs, gs);
    EXPECT_EQ(regs.xcr0, 7U);
    EXPECT_EQ(regs.rflags, rflags::FIXED | rflags::IF | rflags::DF);

    const auto gpr = gpr_of(enclave);
    EXPECT_EQ(gpr.RAX, 0xaU);
    EXPECT_EQ(gpr.RDI, 0xfU);
    EXPECT_EQ(gpr.R8_R15[7], 107U);
    EXPECT_EQ(gpr.RIP, enclave.at(2) + 0x123);
    EXPECT_EQ(gpr.RSP, enclave.data() + 0x800);
    EXPECT_EQ(gpr.FSBASE, 0x5000U);
    EXPECT_EQ(gpr.EXITINFO, 0U);
    EXPECT_EQ(gpr.RFLAGS & rflags::RF, 0U);
    EXPECT_EQ(tcs_of(enclave).CSSA, 1U);
    EXPECT_EQ(tcs_of(enclave).STATE, 0U);
    EXPECT_EQ(machine_.engine().report().enclaves.front().asynchronous_exits, 1U);
}

TEST_F(Entry, EresumeGoesOnWhereItWasInterrupted) {
    const auto enclave = make();
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    auto& regs = cpu_.registers();
    regs.rip = enclave.at(2) + 0x40;
    regs.r8_r15[3] = 0x77;
    regs.rflags = rflags::FIXED | rflags::IF | rflags::CF;
    const Registers inside = regs;
    user_.interrupt();
    regs.rflags |= rflags::ZF;
    ASSERT_EQ(user_.resume(enclave.tcs()), success());
    EXPECT_EQ(regs, inside);
    EXPECT_EQ(tcs_of(enclave).CSSA, 0U);
    // And again: the next exit fills the same frame.
    user_.interrupt();
    EXPECT_EQ(regs.rsp, gpr_of(enclave).URSP);
    EXPECT_EQ(tcs_of(enclave).CSSA, 1U);
}

TEST_F(Entry, EresumeChecksTheFrame) {
    const auto enclave = make();
    EXPECT_EQ(user_.resume(enclave.tcs()), gp());  // nothing to resume
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    user_.interrupt();
    EXPECT_EQ(user_.enter(enclave.tcs()), gp());  // its one frame is full
    const auto refused_gpr = [&](const std::function<void(GPRSGX&)>& change) {
        const GPRSGX good = gpr_of(enclave);
        put_gpr(enclave, change);
        const auto answer = user_.resume(enclave.tcs());
        put_gpr(enclave, [&](GPRSGX& gpr) { gpr = good; });
        return answer == gp() && tcs_of(enclave).STATE == 0;
    };
    EXPECT_TRUE(refused_gpr([](GPRSGX& gpr) { gpr.RIP = uint64_t{1} << 47; }));
    EXPECT_TRUE(refused_gpr([](GPRSGX& gpr) { gpr.FSBASE = uint64_t{1} << 50; }));
    EXPECT_TRUE(refused_gpr([](GPRSGX& gpr) { gpr.GSBASE = uint64_t{1} << 63; }));
    const auto refused_xsave = [&](size_t offset, uint8_t value) {
        auto& byte = machine_.epc_bytes(enclave.epc(1))[offset];
        const uint8_t good = byte;
        byte = value;
        const auto answer = user_.resume(enclave.tcs());
        byte = good;
        return answer == gp() && tcs_of(enclave).STATE == 0;
    };
    EXPECT_TRUE(refused_xsave(offsetof(XsaveHead, XSTATE_BV), 7));  // AVX, which XFRM has not
    EXPECT_TRUE(refused_xsave(offsetof(XsaveHead, XCOMP_BV) + 7, 0x80));
    EXPECT_TRUE(refused_xsave(offsetof(XsaveHead, RESERVED) + 7, 1));
    EXPECT_TRUE(refused_xsave(offsetof(XsaveHead, MXCSR) + 2, 1));
    EXPECT_EQ(user_.resume(enclave.tcs()), success());
}

TEST_F(Entry, AFaultIsReportedToTheEnclaveAndItsPageToTheKernel) {
    const auto enclave = make([](SECS& secs, SIGSTRUCT&) { secs.MISCSELECT = miscselect::EXINFO; });
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    const uint64_t address = enclave.data() + 0x234;
    const auto seen = user_.interrupt({.kind = EventKind::Fault, .exception = {vector::PF, 0x8007, address}});
    EXPECT_EQ(seen, (Event{EventKind::Fault, {vector::PF, 0x8007, enclave.data()}}));
    const auto gpr = gpr_of(enclave);
    EXPECT_EQ(gpr.EXITINFO, 0x8000'030eU);
    EXPECT_NE(gpr.RFLAGS & rflags::RF, 0U);
    EXINFO exinfo;
    std::memcpy(&exinfo, machine_.epc_bytes(enclave.epc(1)).data() + kPageSize - sizeof gpr - sizeof exinfo,
                sizeof exinfo);
    EXPECT_EQ(exinfo.MADDR, address);
    EXPECT_EQ(exinfo.ERRCD, 0x8007U);
}

TEST_F(Entry, ExitinfoNamesTheExceptionsOfTheTable) {
    const auto enclave = make();
    const auto exitinfo_after = [&](uint8_t number, EventKind kind) {
        EXPECT_EQ(user_.enter(enclave.tcs()), success());
        user_.interrupt({.kind = kind, .exception = {number, 0, 0}});
        put_tcs(enclave, [](TCS& tcs) { tcs.CSSA = 0; });
        return static_cast<uint32_t>(gpr_of(enclave).EXITINFO);
    };
    for (const uint8_t number : std::to_array<uint8_t>({0, 1, 5, 6, 16, 17, 19}))
        EXPECT_EQ(exitinfo_after(number, EventKind::Fault), 0x8000'0300U | number);
    EXPECT_EQ(exitinfo_after(vector::BP, EventKind::Fault), 0x8000'0603U);
    EXPECT_EQ(exitinfo_after(vector::PF, EventKind::Fault), 0U);  // without MISCSELECT.EXINFO
    EXPECT_EQ(exitinfo_after(vector::GP, EventKind::Fault), 0U);
    EXPECT_EQ(exitinfo_after(vector::NM, EventKind::Fault), 0U);
    EXPECT_EQ(exitinfo_after(vector::UD, EventKind::Interrupt), 0U);
}

TEST_F(Entry, SingleStepsStopAtTheBorderUnlessTheEnclaveOptsIn) {
    const auto enclave = make();
    auto& regs = cpu_.registers();
    regs.rflags |= rflags::TF;
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_EQ(regs.rflags & rflags::TF, 0U);
    user_.interrupt();
    EXPECT_NE(regs.rflags & rflags::TF, 0U);
    EXPECT_EQ(gpr_of(enclave).RFLAGS & rflags::TF, 0U);
    ASSERT_EQ(user_.resume(enclave.tcs()), success());
    EXPECT_EQ(regs.rflags & rflags::TF, 0U);
    ASSERT_EQ(user_.exit(), success());
    EXPECT_NE(regs.rflags & rflags::TF, 0U);

    put_tcs(enclave, [](TCS& tcs) { tcs.FLAGS = TCS::DBGOPTIN; });
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_NE(regs.rflags & rflags::TF, 0U);
}

TEST_F(Entry, FloatingPointStateStaysWithItsOwner) {
    const auto enclave = make([](SECS& secs, SIGSTRUCT&) { secs.ATTRIBUTES.XFRM = 7; });
    XsaveArea area{};
    XsaveHead head{};
    head.FCW = 0x27f;
    head.MXCSR = 0x1f81;
    head.xmm[5] = 0x42;
    head.XSTATE_BV = 7;
    std::memcpy(area.data(), &head, sizeof head);
    area[576] = 0x99;  // YMM
    cpu_.set_xsave(area).value();
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    EXPECT_EQ(cpu_.xsave().value(), area);  // EENTER passes it in
    user_.interrupt();

    XsaveHead outside;
    const auto after = cpu_.xsave().value();
    std::memcpy(&outside, after.data(), sizeof outside);
    EXPECT_EQ(outside.FCW, 0x37fU);
    EXPECT_EQ(outside.MXCSR, 0x1fb0U);
    EXPECT_EQ(outside.xmm[5], 0);
    EXPECT_EQ(outside.XSTATE_BV, 3U);  // YMM is in its initial state
    EXPECT_EQ(machine_.epc_bytes(enclave.epc(1))[576], 0x99);

    ASSERT_EQ(user_.resume(enclave.tcs()), success());
    EXPECT_EQ(cpu_.xsave().value(), area);
}

// A VM is stopped: nobody sees it.
TEST_F(Entry, StoppingInsideIsInvisible) {
    const auto enclave = make();
    ASSERT_EQ(user_.enter(enclave.tcs()), success());
    const Registers inside = cpu_.registers();
    user_.interrupt();
    EXPECT_EQ(cpu_.registers().rax, static_cast<uint64_t>(Enclu::ERESUME));
    ASSERT_EQ(user_.enclu(Enclu::ERESUME, cpu_.registers().rbx, cpu_.registers().rcx), success());
    EXPECT_EQ(cpu_.registers(), inside);
}

}  // namespace
}  // namespace alcove::sgx
