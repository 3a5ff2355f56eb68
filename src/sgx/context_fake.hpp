// SPDX-License-Identifier: Apache-2.0
//
// For tests and fuzzers: a machine with memory, EPC, page tables and processors, of which only the leaf
// functions are real. The kernel sees all memory at kKernelRam and all EPC at kKernelEpc; what ring 3 sees is
// mapped page by page.
#pragma once

#include <map>
#include <memory>
#include <shared_mutex>

#include "memory/guest_memory.hpp"
#include "sgx/engine.hpp"

namespace alcove::sgx {

inline constexpr uint64_t kKernelRam = 0xffff'8880'0000'0000;
inline constexpr uint64_t kKernelEpc = 0xffff'c900'0000'0000;

struct FakeMapping {
    memory::GuestAddress address;
    bool writable = true;
    bool executable = true;
    bool user = true;
};

// Shared by all processors.
class FakeMachine {
  public:
    static constexpr uint64_t kRamSize = 4_MiB;
    static constexpr Key128 kRoot{1, 2, 3};

    struct Options {
        std::vector<memory::GuestRange> sections{{memory::GuestAddress(64_GiB), 64 * kPageSize}};
        Features features = fake_features();
        std::unique_ptr<PageStore> store{};  // nothing: all in memory
    };
    FakeMachine() : FakeMachine(Options{}) {}
    explicit FakeMachine(Options options);

    static Features fake_features();  // everything on, AVX, any launch key of the test's

    Engine& engine() { return *engine_; }
    const memory::GuestMemory& ram() const { return *ram_; }
    const Fd& epc_file() const { return epc_file_; }

    // Page tables of ring 3.
    void map(uint64_t linear, FakeMapping mapping);
    void map_epc(uint64_t linear, PageIndex page) {
        map(linear, {.address = engine().sections().address_of(page)});
    }
    void unmap(uint64_t linear);
    std::optional<FakeMapping> find(uint64_t linear) const;  // kernel's addresses too

    // What is really in an EPC page (without a store of one's own).
    MutableByteView epc_bytes(PageIndex page);

  private:
    std::shared_ptr<memory::GuestMemory> ram_;
    Fd epc_file_;
    Mapping epc_;
    std::unique_ptr<Engine> engine_;
    mutable std::shared_mutex mutex_;
    std::map<uint64_t, FakeMapping> pages_;
};

class FakeCpu : public LeafContext {
  public:
    FakeCpu(FakeMachine& machine, uint32_t id)
        : machine_(machine), processor_(id, machine.engine().features()) {
        regs_.xcr0 = machine.engine().features().xfrm;
        regs_.rip = 0x40'0000;
    }

    Processor& processor() { return processor_; }
    FakeMachine& machine() { return machine_; }
    const std::optional<EnclaveWorld>& world() const { return world_; }  // where it runs

    Registers& registers() override { return regs_; }
    ProcessorMode mode() const override { return mode_; }
    void set_mode(const ProcessorMode& mode) { mode_ = mode; }
    void set_cpl(uint8_t cpl) { mode_.cpl = cpl; }
    uint8_t instruction_length() const override { return 3; }
    Outcome<memory::GuestAddress> translate(uint64_t linear, Access access) override;
    Outcome<void> read(uint64_t linear, MutableByteView into) override;
    Outcome<void> write(uint64_t linear, ByteView from) override;
    Result<XsaveArea> xsave() const override { return xsave_; }
    Result<void> set_xsave(const XsaveArea& area) override {
        xsave_ = area;
        return {};
    }
    void enter_enclave_mode(const EnclaveWorld& world) override { world_ = world; }
    void leave_enclave_mode() override { world_.reset(); }

    // As code inside the enclave would: through page tables and EPCM.
    Outcome<void> load(uint64_t linear, MutableByteView into) { return touch(linear, into, Access::Read); }
    Outcome<void> store(uint64_t linear, ByteView from);

  private:
    Outcome<void> touch(uint64_t linear, MutableByteView bytes, Access access);
    bool is_epc(memory::GuestAddress address) const {
        return machine_.engine().sections().find(address).has_value();
    }

    FakeMachine& machine_;
    Processor processor_;
    Registers regs_{};
    ProcessorMode mode_{};
    XsaveArea xsave_{};
    std::optional<EnclaveWorld> world_;
};

}  // namespace alcove::sgx
