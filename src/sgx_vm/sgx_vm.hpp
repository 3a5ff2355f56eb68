// SPDX-License-Identifier: Apache-2.0
//
// The SGX of one VM in software, on KVM: the engine, the memory of both views, and what each vCPU needs.
// Whoever builds the machine makes this from the user's configuration and puts the parts where they belong.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cpu/exit_handler.hpp"
#include "kvm/vm.hpp"
#include "sgx/configuration.hpp"
#include "sgx/engine.hpp"
#include "sgx_vm/enclave_watch.hpp"
#include "sgx_vm/guest_physical.hpp"
#include "sgx_vm/protected_memory.hpp"
#include "sgx_vm/resident_mappings.hpp"
#include "sgx_vm/sgx_backend.hpp"
#include "support/fd.hpp"

namespace alcove::sgx_vm {

class SgxVcpu;

struct SgxPlan {
    sgx::Configuration configuration;
    sgx::Key128 root{};  // the platform's secret: sgx/platform.hpp
    Fd spill{};  // of all populations but `static`: where pages beyond the budget go; nobody else writes it
};

class SgxVm : public SgxBackend {
  public:
    // EPC lies in `sections`, where nothing else is. Nobody but the protected view has anything from
    // `private_base` on, up to private_end(). Errors: MachineConfig, KvmUnable.
    static Result<std::unique_ptr<SgxVm>> create(const kvm::Vm& vm, const SgxPlan& plan,
                                                 sgx::Sections sections,
                                                 std::shared_ptr<const memory::GuestMemory> ram,
                                                 memory::GuestAddress private_base, uint32_t vcpus);

    uint64_t private_end() const { return memory_.end(); }
    const std::vector<memory::GuestRange>& sections() const override { return engine_->sections().ranges(); }
    // In the protected view there is nothing else but RAM, whose numbers are higher.
    static constexpr uint32_t kFirstProtectedSlot = 0;
    std::vector<kvm::MemorySlot> slots(uint32_t first) const override {
        return memory_.slots(first, kFirstProtectedSlot);
    }
    void extend_cpuid(std::vector<kvm_cpuid_entry2>& entries,
                      std::span<const kvm_cpuid_entry2> supported) override;
    Result<std::unique_ptr<cpu::ExitHandler>> make_vcpu(kvm::Vcpu& vcpu, uint32_t index) override;

    // Each vCPU that is inside an enclave leaves it, as for an interrupt. While all of them are parked. After
    // an error the machine can not go on.
    Result<void> leave_enclaves();
    Result<void> drop() override;

    sgx::Engine& engine() { return *engine_; }
    EnclaveWatch& watch() { return *watch_; }
    const sgx::Engine& engine() const { return *engine_; }

    // Of all populations but `static`: what may be in memory. ErrorCode::InvalidArgument.
    Result<void> check_budget(uint64_t mib) const;
    // One step towards it, true when it is reached; many pages leave in several, so that the guest stands
    // still for none of them long. While all vCPUs are parked and have left their enclaves: what one has
    // mapped stays. After an error the budget is where the last step has left it.
    Result<bool> approach_budget(uint64_t mib);
    uint32_t budget_pages() const;  // 0 without
    sgx::SpillingStore::Statistics spill_statistics() const;

  private:
    // The engine's store of pages.
    struct Store {
        std::unique_ptr<sgx::PageStore> pages;
        sgx::SpillingStore* spilling;  // the same, if it has a budget
    };
    static Result<Store> make_store(const SgxPlan& plan, const Fd& epc, uint32_t pages,
                                    ResidentMappings& mappings);

    SgxVm(std::unique_ptr<ResidentMappings> mappings, std::unique_ptr<sgx::Engine> engine,
          sgx::SpillingStore* spilling, std::shared_ptr<const memory::GuestMemory> ram,
          ProtectedMemory memory, uint32_t vcpus)
        : mappings_(std::move(mappings)),
          engine_(std::move(engine)),
          spilling_(spilling),
          physical_(std::move(ram)),
          memory_(std::move(memory)),
          watch_(std::make_unique<EnclaveWatch>(vcpus)) {}

    std::unique_ptr<ResidentMappings> mappings_;  // before the store, which asks it
    std::unique_ptr<sgx::Engine> engine_;
    sgx::SpillingStore* spilling_;  // the engine's, or null
    GuestPhysical physical_;
    ProtectedMemory memory_;
    std::unique_ptr<EnclaveWatch> watch_;
    bool umip_ = false;
    bool sysenter_ = true;
    std::vector<SgxVcpu*> vcpus_;  // the machine has them
};

}  // namespace alcove::sgx_vm
