// SPDX-License-Identifier: Apache-2.0
//
// A kernel and an enclave that lie in every operand: any leaf, any address, structures with any bytes, on two
// processors that go in and out. Nothing may crash; the EPCM's invariants hold after each step; an exception
// changes no register; and at the end all can be removed.
//
// Input: rows of one byte (what to do), and the numbers and bytes it needs.
#include <cstdlib>

#include "crypto/aes.hpp"
#include "sgx/enclave_maker.hpp"
#include "support/fuzz_input.hpp"

namespace {

using namespace alcove;
using namespace alcove::sgx;

void require(bool condition) {
    if (!condition) std::abort();
}

class Bench {
  public:
    explicit Bench(FuzzInput& input)
        : input_(input),
          cpus_{FakeCpu(machine_, 0), FakeCpu(machine_, 1)},
          makers_{EnclaveMaker(cpus_[0]), EnclaveMaker(cpus_[1])} {
        enclave_ = TestEnclave::make(makers_[0], PageIndex{0}, attributes::MODE64BIT | attributes::DEBUG);
        require(makers_[0].epa(PageIndex{20}) == success());
        begin_another();
    }

    void step() {
        const uint8_t what = input_.byte();
        const size_t which = what >> 7;
        FakeCpu& cpu = cpus_[which];
        switch (what % 8) {
            case 0:
            case 1:
            case 2:
                if (!cpu.processor().is_inside()) run(cpu, 0, input_.byte() % 18);
                break;
            case 3:
            case 4:
                run(cpu, 3, input_.byte() % 10);
                break;
            case 5:
                if (cpu.processor().is_inside()) makers_[which].interrupt(event());
                break;
            case 6:
                lay_out(makers_[which], input_.byte());
                break;
            case 7:
                machine_.map_epc(user_address(), PageIndex{input_.byte() % 64U});
                break;
        }
        require(machine_.engine().find_inconsistency() == std::nullopt);
    }
    void remove_everything() {
        for (size_t cpu = 0; cpu < 2; ++cpu)
            if (cpus_[cpu].processor().is_inside()) makers_[cpu].interrupt();
        for (int pass = 0; pass < 2; ++pass)  // as Linux does: children, then what had children
            for (uint32_t page = 0; page < 64; ++page)
                static_cast<void>(makers_[0].eremove(PageIndex{page}));
        require(machine_.engine().report().valid_pages == 0);
    }

  private:
    // One that EINIT may still come for, with what it takes but for the token.
    void begin_another() {
        const SECS secs = EnclaveMaker::secs(kOtherBase, 16 * kPageSize);
        require(makers_[0].ecreate(PageIndex{40}, secs) == success());
        static const SIGSTRUCT sigstruct = [&] {
            auto made = EnclaveMaker::unsigned_sigstruct(secs, makers_[0].measurement());
            sign(made, test_signing_key()).value();
            return made;
        }();
        for (auto& maker : makers_)
            maker.put(maker.sigstruct(), sigstruct);
    }
    // What a launch enclave says of it.
    EINITTOKEN token() {
        const SIGSTRUCT sigstruct = makers_[0].get<SIGSTRUCT>(makers_[0].sigstruct());
        EINITTOKEN token{};
        token.VALID = EINITTOKEN::kValid;
        token.ATTRIBUTES = sigstruct.ATTRIBUTES;
        token.MRENCLAVE = sigstruct.ENCLAVEHASH;
        token.MRSIGNER = mrsigner_of(sigstruct);
        static const Platform platform = Platform::create(FakeMachine::kRoot).value();
        KeyDependencies dependencies{};
        dependencies.KEYNAME = static_cast<uint16_t>(KeyName::EINITTOKEN_KEY);
        dependencies.MRSIGNER = mrsigner_of(sigstruct);  // the launch key is the signer's
        token.MAC =
            crypto::aes_cmac(platform.derive(dependencies), {object_bytes(token).first(EINITTOKEN::kMaced)});
        return token;
    }
    uint64_t user_address() { return enclave_.base + (input_.byte() % 20) * kPageSize; }
    // Mostly places where something is.
    uint64_t address(const EnclaveMaker& maker) {
        const uint8_t choice = input_.byte();
        const uint64_t offset = (choice & 0x10) != 0 ? input_.number(2) % kPageSize : 0;
        switch (choice % 8) {
            case 0:
                return maker.pageinfo() + offset;
            case 1:
                return maker.secinfo() + offset;
            case 2:
                return maker.sigstruct() + offset;
            case 3:
                return maker.token() + offset;
            case 4:
            case 5:
                return epc_linear(PageIndex{input_.byte() % 66U}) + offset;
            case 6:
                return user_address() + offset;
            default:
                return input_.number(8);
        }
    }
    void run(FakeCpu& cpu, uint8_t cpl, uint64_t leaf) {
        const EnclaveMaker& maker = makers_[&cpu == &cpus_[0] ? 0 : 1];
        auto& regs = cpu.registers();
        regs.rax = leaf;
        regs.rbx = address(maker);
        regs.rcx = address(maker);
        regs.rdx = address(maker);
        cpu.set_cpl(cpl);
        const Registers before = regs;
        const auto outcome = cpl == 0 ? machine_.engine().encls(cpu.processor(), cpu)
                                      : machine_.engine().enclu(cpu.processor(), cpu);
        require(outcome.ended_with<Error>() == nullptr);
        if (!outcome) require(regs == before);
        require(cpu.processor().is_inside() == cpu.world().has_value());
    }
    Event event() {
        const uint8_t choice = input_.byte();
        return {.kind = static_cast<EventKind>(choice % 3),
                .exception = {input_.byte(), static_cast<uint32_t>(input_.number(2)), user_address()}};
    }
    // A structure that is right but for some bytes of the input.
    template <typename T>
    void put(EnclaveMaker& maker, uint64_t at, T value) {
        change({reinterpret_cast<uint8_t*>(&value), sizeof value});
        maker.put(at, value);
    }
    void change(MutableByteView structure) {
        const size_t place = input_.number(2) % structure.size();
        const ByteView bytes = input_.take(std::min<size_t>(input_.byte() % 9, structure.size() - place));
        std::copy(bytes.begin(), bytes.end(), structure.begin() + static_cast<ptrdiff_t>(place));
    }
    // What ERESUME takes up: registers at the frame's end, XSAVE's header at its beginning.
    void change_frame(uint8_t what) {
        const auto frame = machine_.epc_bytes(enclave_.epc((what & 0x40) != 0 ? 6 : 1));
        change((what & 0x20) != 0 ? frame.last(sizeof(GPRSGX)) : frame.first(sizeof(XsaveHead)));
    }
    void lay_out(EnclaveMaker& maker, uint8_t what) {
        const auto page = [&] { return PageIndex{input_.byte() % 64U}; };
        switch (what % 8) {
            case 0:
                return put(maker, maker.pageinfo(),
                           PAGEINFO{.LINADDR = user_address(),
                                    .SRCPGE = maker.source(),
                                    .SECINFO = maker.secinfo(),
                                    .SECS = epc_linear(page())});
            case 1:
                return put(
                    maker, maker.pageinfo(),
                    PAGEINFO{.LINADDR = 0, .SRCPGE = maker.source(), .SECINFO = maker.pcmd(), .SECS = 0});
            case 2:
                return put(maker, maker.secinfo(), SECINFO{.FLAGS = input_.number(2), .RESERVED = {}});
            case 3:
                return put(maker, maker.source(), EnclaveMaker::secs(0x7000'0000'0000, 16 * kPageSize));
            case 4:
                return put(maker, maker.source(), EnclaveMaker::tcs(kPageSize, 2, 0));
            case 5:
                return put(maker, maker.pcmd(), maker.get<PCMD>(maker.pcmd()));
            case 6:
                if ((what & 0x80) != 0) return put(maker, maker.token(), token());
                return put(maker, maker.sigstruct(), maker.get<SIGSTRUCT>(maker.sigstruct()));
            default:
                if ((what & 0x80) != 0) return change_frame(what);
                // An enclave's own data.
                const Bytes bytes = to_bytes(input_.take(input_.byte()));
                const uint64_t offset = input_.number(2) % kPageSize;
                const auto data = machine_.epc_bytes(enclave_.epc(3 + what / 8 % 2)).subspan(offset);
                std::copy_n(bytes.begin(), std::min(bytes.size(), data.size()), data.begin());
        }
    }

    static constexpr uint64_t kOtherBase = 0x7e00'0000'0000;

    FuzzInput& input_;
    FakeMachine machine_;
    std::array<FakeCpu, 2> cpus_;
    std::array<EnclaveMaker, 2> makers_;
    TestEnclave enclave_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input({data, size});
    Bench bench(input);
    for (int steps = 0; !input.is_empty() && steps < 256; ++steps)
        bench.step();
    bench.remove_everything();
    return 0;
}
