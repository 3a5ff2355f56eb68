// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/sgx_vm.hpp"

#include "sgx/static_store.hpp"
#include "sgx_vm/cpuid_entries.hpp"
#include "sgx_vm/sgx_vcpu.hpp"
#include "sgx_vm/trapped_msrs.hpp"
#include "support/system.hpp"

namespace alcove::sgx_vm {

namespace {

constexpr uint64_t kPagesPerMib = 1_MiB / sgx::kPageSize;
constexpr uint32_t kBudgetStep = 16 * kPagesPerMib;  // pages that leave at once
constexpr sgx::XsaveComponent kAvx{.bit = 2, .offset = 576, .size = 256};

Result<void> check_kvm(const kvm::Vm& vm) {
    TRY(kvm::ViewSwitch::check(vm));
    const int synchronized = TRY(vm.check_extension(KVM_CAP_SYNC_REGS));
    const int debug = TRY(vm.check_extension(KVM_CAP_SET_GUEST_DEBUG));
    const int filter = TRY(vm.check_extension(KVM_CAP_X86_MSR_FILTER));
    constexpr int kRegisters = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    if ((synchronized & kRegisters) != kRegisters || debug == 0 || filter == 0)
        return fail(ErrorCode::KvmUnable,
                    "this host's KVM lacks what SGX in software needs of it (guest "
                    "debugging, synchronized registers, a filter of MSRs)");
    return {};
}

}  // namespace

Result<std::unique_ptr<SgxVm>> SgxVm::create(const kvm::Vm& vm, const SgxPlan& plan, sgx::Sections sections,
                                             std::shared_ptr<const memory::GuestMemory> ram,
                                             memory::GuestAddress private_base, uint32_t vcpus) {
    TRY(check_kvm(vm));
    const auto epc = TRY(sys::memfd("sgx-epc"));
    const uint64_t bytes = uint64_t{sections.pages()} * sgx::kPageSize;
    TRY(sys::truncate(epc, bytes));
    auto mappings = std::make_unique<ResidentMappings>();
    auto store = TRY(make_store(plan, epc, sections.pages(), *mappings));
    auto memory = TRY(ProtectedMemory::create(sections, epc, private_base, vcpus));
    if (store.spilling != nullptr) TRY(memory.use_small_epc_pages());
    auto features = sgx::features_of(plan.configuration, sgx::kMachineXfrm, {kAvx});
    auto engine =
        TRY(sgx::Engine::create(std::move(sections), std::move(features), std::move(store.pages), plan.root));
    TRY(vm.trap_msrs(kTrappedMsrs));
    return std::unique_ptr<SgxVm>(new SgxVm(std::move(mappings), std::move(engine), store.spilling,
                                            std::move(ram), std::move(memory), vcpus));
}

Result<SgxVm::Store> SgxVm::make_store(const SgxPlan& plan, const Fd& epc, uint32_t pages,
                                       ResidentMappings& mappings) {
    switch (plan.configuration.population) {
        case sgx::Population::Static:
            TRY(sys::allocate(epc, 0, 0, uint64_t{pages} * sgx::kPageSize)
                    .context("reserving memory for EPC"));
            return Store {
                .pages = TRY(sgx::StaticStore::create(epc, pages))
                , .spilling = nullptr
            };
        case sgx::Population::Oversubscribe:
        case sgx::Population::Balloon: {
            const uint64_t budget = plan.configuration.resident_mib() * kPagesPerMib;
            auto spill = TRY(sys::duplicate(plan.spill.get()));
            auto store = TRY(sgx::SpillingStore::create({.memory = epc,
                                                         .spill = std::move(spill),
                                                         .pages = pages,
                                                         .budget = static_cast<uint32_t>(budget),
                                                         .mappings = mappings}));
            auto* spilling = store.get();
            return Store{.pages = std::move(store), .spilling = spilling};
        }
    }
    return fail(ErrorCode::MachineConfig, "EPC of no known population");
}

Result<void> SgxVm::check_budget(uint64_t mib) const {
    if (spilling_ == nullptr)
        return fail(ErrorCode::InvalidArgument, "EPC with sgx.population = \"static\" has no budget");
    const uint64_t most = engine_->sections().pages() / kPagesPerMib;
    if (mib < sgx::kMinBudgetMib || mib > most)
        return fail(ErrorCode::InvalidArgument, "the budget has to be between " +
                                                    std::to_string(sgx::kMinBudgetMib) + " and " +
                                                    std::to_string(most) + " MiB");
    return {};
}

Result<bool> SgxVm::approach_budget(uint64_t mib) {
    TRY(check_budget(mib));
    const auto goal = static_cast<uint32_t>(mib * kPagesPerMib);
    const uint32_t resident = spilling_->occupancy().resident;
    const uint32_t next = resident > goal + kBudgetStep ? resident - kBudgetStep : goal;
    TRY(spilling_->set_budget(next));
    return next == goal;
}

uint32_t SgxVm::budget_pages() const {
    return spilling_ == nullptr ? 0 : spilling_->budget();
}

sgx::SpillingStore::Statistics SgxVm::spill_statistics() const {
    return spilling_ == nullptr ? sgx::SpillingStore::Statistics{} : spilling_->statistics();
}

void SgxVm::extend_cpuid(std::vector<kvm_cpuid_entry2>& entries,
                         std::span<const kvm_cpuid_entry2> supported) {
    umip_ = add_sgx(entries, supported, engine_->features(), engine_->sections());
    sysenter_ = has_sysenter(supported);
}

Result<std::unique_ptr<cpu::ExitHandler>> SgxVm::make_vcpu(kvm::Vcpu& vcpu, uint32_t index) {
    const VcpuParts parts{.physical = physical_,
                          .engine = *engine_,
                          .pages = memory_.private_pages(),
                          .ones = memory_.ones(),
                          .nowhere = private_end() + 1_MiB,
                          .umip = umip_,
                          .sysenter = sysenter_,
                          .mappings = *mappings_,
                          .watch = *watch_};
    auto made = TRY(SgxVcpu::create(vcpu, index, parts));
    vcpus_.push_back(made.get());
    return std::unique_ptr<cpu::ExitHandler>(std::move(made));
}

Result<void> SgxVm::leave_enclaves() {
    for (auto* vcpu : vcpus_)
        TRY(vcpu->leave_enclave());
    return {};
}

Result<void> SgxVm::drop() {
    TRY(leave_enclaves());
    engine_->drop_all();
    return {};
}

}  // namespace alcove::sgx_vm
