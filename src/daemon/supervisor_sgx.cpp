// SPDX-License-Identifier: Apache-2.0
//
// SGX of VMs that run, and the memory that an EPC with a budget or a balloon has. At every moment such a VM
// holds, and may use, what it can come to need:
//
//     a larger budget     ledger, database ─► the broker's limit ─► its VMM ─► its record
//     a smaller one       its VMM ─► its record ─► the broker's limit ─► ledger, database
//
// A VMM that refuses leaves things as they were. Of one that does not answer nobody knows, and the larger of
// both stays with the VM until a budget is set again.
#include "daemon/sgx_order.hpp"
#include "daemon/supervisor.hpp"
#include "host/capacity.hpp"
#include "support/log.hpp"

namespace alcove::daemon {

namespace {

bool is_unknown(ErrorCode code) {
    return code == ErrorCode::Timeout || code == ErrorCode::ConnectionLost;
}

}  // namespace

void Supervisor::sgx(const std::string& id_or_name, api::vmm::SgxAction action,
                     Answer<api::vmm::SgxState> answer) {
    const auto record = find(id_or_name, api::VmRole::Primary);
    if (!record) return answer(Failure{record.error()});
    if (!record->sgx)
        return answer(fail(ErrorCode::InvalidArgument, record->id + " has no SGX: start it with EPC"));
    const auto& vm = vms_.at(record->id);
    if (vm.link == nullptr) return answer(fail(ErrorCode::EnclaveNotReady, "its VMM cannot be asked now"));
    vm.link->sgx(action, std::move(answer));
}

void Supervisor::set_epc_budget(const std::string& id_or_name, uint64_t mib,
                                Answer<api::vmm::SgxState> answer) {
    const auto record = find(id_or_name, api::VmRole::Primary);
    if (!record) return answer(Failure{record.error()});
    Vm& vm = vms_.at(record->id);
    const auto checked = check_budget(vm, mib);
    if (!checked) return answer(Failure{checked.error()});
    change_budget(vm, mib, std::move(answer));
}

// Of EPC that can have it, of a VM that can be told.
void Supervisor::change_budget(Vm& vm, uint64_t mib, Answer<api::vmm::SgxState> answer) {
    auto wanted = *vm.record.sgx;
    wanted.budget_mib = mib;
    const bool is_larger = mib > vm.record.sgx->resident_mib();
    if (epc_memory(wanted) > vm.lease.grant().epc_bytes()) {
        const auto held = hold_epc(vm, epc_memory(wanted));
        if (!held) return answer(Failure{held.error()});
    }
    vm.epc_changing = true;
    if (!is_larger) return order_budget(vm.record.id, mib, std::move(answer));
    limit_memory(vm.record.id, mib, [this, id = vm.record.id, mib, answer](const Result<void>& limited) {
        if (limited) return order_budget(id, mib, answer);
        budget_is_not(id, limited.error());
        answer(Failure{limited.error()});
    });
}

Result<void> Supervisor::check_budget(const Vm& vm, uint64_t mib) const {
    const auto& sgx = vm.record.sgx;
    if (!sgx || sgx->population != sgx::Population::Oversubscribe)
        return fail(ErrorCode::InvalidArgument,
                    vm.record.id +
                        " has no EPC with a budget: start it with sgx.population = "
                        "\"oversubscribe\" and sgx.budget_mib");
    if (mib < sgx::kMinBudgetMib || mib > sgx->size_mib())
        return fail(ErrorCode::InvalidArgument,
                    "the budget is between " + std::to_string(sgx::kMinBudgetMib) +
                        " MiB and the EPC, which is " + std::to_string(sgx->size_mib()) + " MiB");
    return check_changeable(vm);
}

Result<void> Supervisor::check_changeable(const Vm& vm) {
    if (vm.link == nullptr || vm.record.state != VmState::Running)
        return fail(ErrorCode::EnclaveNotReady, "EPC is changed while the VM runs");
    if (vm.epc_changing) return fail(ErrorCode::Busy, "its EPC is being changed");
    return {};
}

// What is more has to be there now.
Result<void> Supervisor::hold_epc(Vm& vm, uint64_t bytes) {
    const uint64_t before = vm.lease.grant().epc_bytes();
    if (bytes > before && config_.memory_now) {
        const auto memory = config_.memory_now();
        if (memory)
            TRY(host::check_memory_now(*memory, bytes - before, host::PageSize::Size4K).context("EPC"));
    }
    TRY(ledger_.change_epc(vm.lease, bytes));
    auto saved = store_.save_leases({vm.lease.grant()});
    if (saved) return {};
    const auto undone = ledger_.change_epc(vm.lease, before);
    if (!undone)
        log::error("{}: what it holds cannot be booked: {}", vm.record.id, undone.error().to_string());
    return saved;
}

void Supervisor::limit_memory(const std::string& id, uint64_t budget_mib,
                              std::function<void(Result<void>)> done) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return done(fail(ErrorCode::EnclaveDied, "the VM is gone"));
    api::broker::LimitMemory order{.launch = launch_order(found->second)};
    order.launch.sgx.budget_mib = static_cast<uint32_t>(budget_mib);
    broker_.limit_memory(order, std::move(done));
}

void Supervisor::order_budget(const std::string& id, uint64_t mib, Answer<api::vmm::SgxState> answer) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || found->second.link == nullptr) {
        const Error gone(ErrorCode::EnclaveDied, "the VM has ended");
        budget_is_not(id, gone);
        return answer(Failure{gone});
    }
    found->second.link->set_epc_budget(mib, [this, id, mib, answer](Result<api::vmm::SgxState> state) {
        if (!state) {
            budget_is_not(id, state.error());
            return answer(std::move(state));
        }
        budget_is(id, mib, [answer, state = std::move(*state)] { answer(state); });
    });
}

// `done` when the host has what is not needed any more, or has to wait for it.
void Supervisor::budget_is(const std::string& id, uint64_t mib, std::function<void()> done) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return done();
    Vm& vm = found->second;
    vm.epc_changing = false;
    const bool is_smaller = mib < vm.record.sgx->resident_mib();
    vm.record.sgx->budget_mib = mib;
    commit_or_retry(vm, "sgx", "EPC budget of " + std::to_string(mib) + " MiB");
    // More is held also where an earlier budget's fate was not known.
    if (!is_smaller && vm.lease.grant().epc_bytes() <= epc_memory(*vm.record.sgx)) return done();
    fit_memory(id, std::move(done));
}

void Supervisor::budget_is_not(const std::string& id, const Error& why) {
    log::warn("{}: its EPC budget was not changed: {}", id, why.to_string());
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    found->second.epc_changing = false;
    if (!is_unknown(why.code())) fit_memory(id, [] {});
}

// No more memory than its record says. What the VM still uses, or the broker can not be told, goes later.
void Supervisor::fit_memory(const std::string& id, std::function<void()> done) {
    const auto found = vms_.find(id);
    const auto is_settled = [](const Vm& vm) {
        return !vm.cleaning && !vm.epc_changing && !is_over(vm.record.state);
    };
    if (found == vms_.end() || !is_settled(found->second)) return done();
    const uint64_t budget = found->second.record.sgx->resident_mib();
    limit_memory(id, budget, [this, id, budget, is_settled, done](const Result<void>& limited) {
        const auto again = vms_.find(id);
        if (again == vms_.end() || !is_settled(again->second)) return done();
        Vm& vm = again->second;
        if (budget != vm.record.sgx->resident_mib()) return done();
        const auto code = limited ? ErrorCode{} : limited.error().code();
        if (code == ErrorCode::Busy || code == ErrorCode::ConnectionLost)
            loop_.after(config_.retry_after, [this, id] { fit_memory(id, [] {}); });
        if (!limited) {
            log::warn("{}: it keeps memory that it does not need: {}", id, limited.error().to_string());
            return done();
        }
        const auto held = hold_epc(vm, epc_memory(*vm.record.sgx));
        if (!held) log::error("{}: what it holds cannot be booked: {}", id, held.error().to_string());
        changes_.bump();
        done();
    });
}

}  // namespace alcove::daemon
