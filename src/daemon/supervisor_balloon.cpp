// SPDX-License-Identifier: Apache-2.0
//
// EPC that guests give back: a balloon. The guest is told how much it is asked for; its VMM counts what it
// holds without use; as much of that as was asked for, in whole MiB, is not in the VM's budget:
//
//     budget = EPC - min(held, asked for)
//
// Each VM is looked at once in a while, and its budget follows as any other is changed (supervisor_sgx.cpp):
// what is held is lent anew when the VM's VMM has done without it, and what is not held any more is booked
// and allowed before the VM has it. A guest that lets go of what was lent to others meanwhile has the rest of
// its EPC in its spill file until its host has memory again: it can take nothing that it was not lent.
#include <algorithm>

#include "daemon/supervisor.hpp"
#include "support/log.hpp"

namespace alcove::daemon {

namespace {

bool has_balloon(const VmRecord& record) {
    return record.sgx && record.sgx->population == sgx::Population::Balloon;
}

}  // namespace

void Supervisor::set_epc_balloon(const std::string& id_or_name, uint64_t mib,
                                 Answer<api::vmm::SgxState> answer) {
    const auto record = find(id_or_name, api::VmRole::Primary);
    if (!record) return answer(Failure{record.error()});
    if (!has_balloon(*record))
        return answer(fail(ErrorCode::InvalidArgument,
                           record->id + " has no balloon: start it with sgx.population = \"balloon\""));
    if (auto checked = sgx::check_balloon(*record->sgx, mib); !checked)
        return answer(fail(ErrorCode::InvalidArgument, checked.error().message()));
    const uint64_t size = record->sgx->size_mib();
    Vm& vm = vms_.at(record->id);
    const auto changeable = check_changeable(vm);
    if (!changeable) return answer(Failure{changeable.error()});
    if (size - mib <= record->sgx->resident_mib()) return order_balloon(record->id, mib, std::move(answer));
    // Before the guest is told that it may use it.
    change_budget(vm, size - mib, [this, id = record->id, mib, answer](Result<api::vmm::SgxState> state) {
        if (!state) return answer(std::move(state));
        order_balloon(id, mib, answer);
    });
}

void Supervisor::order_balloon(const std::string& id, uint64_t mib, Answer<api::vmm::SgxState> answer) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || found->second.link == nullptr)
        return answer(fail(ErrorCode::EnclaveDied, "the VM has ended"));
    found->second.epc_changing = true;
    found->second.link->set_epc_balloon(mib, [this, id, mib, answer](Result<api::vmm::SgxState> state) {
        const auto again = vms_.find(id);
        if (again == vms_.end()) return answer(std::move(state));
        Vm& vm = again->second;
        vm.epc_changing = false;
        if (state) {
            vm.record.sgx->balloon_mib = mib;
            commit_or_retry(vm, "sgx", "EPC balloon of " + std::to_string(mib) + " MiB");
        }
        follow_balloon(id);
        answer(std::move(state));
    });
}

// Until there is nothing to follow any more.
void Supervisor::follow_balloon(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || !has_balloon(found->second.record)) return;
    Vm& vm = found->second;
    const auto& sgx = *vm.record.sgx;
    const bool has_all = sgx.balloon_mib.value_or(0) == 0 && sgx.resident_mib() == sgx.size_mib();
    if (has_all || vm.cleaning || is_over(vm.record.state) || vm.balloon_timer != 0) return;
    vm.balloon_timer = loop_.after(config_.balloon_every, [this, id] { look_at_balloon(id); });
}

void Supervisor::look_at_balloon(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    Vm& vm = found->second;
    vm.balloon_timer = 0;
    if (!check_changeable(vm)) return follow_balloon(id);
    vm.link->sgx(api::vmm::SgxAction::Report, [this, id](const Result<api::vmm::SgxState>& state) {
        if (state && state->balloon) return balloon_is(id, state->balloon->held);
        follow_balloon(id);
    });
}

void Supervisor::balloon_is(const std::string& id, uint64_t held_bytes) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    Vm& vm = found->second;
    const auto& sgx = *vm.record.sgx;
    const uint64_t lent = std::min(held_bytes / 1_MiB, sgx.balloon_mib.value_or(0));
    const uint64_t budget = sgx.size_mib() - lent;
    if (budget == sgx.resident_mib() || !check_changeable(vm)) return follow_balloon(id);
    change_budget(vm, budget, [this, id](const Result<api::vmm::SgxState>& state) {
        const auto again = vms_.find(id);
        if (again == vms_.end()) return;
        if (!state && !again->second.lacks_epc)
            log::warn("{}: its EPC is not in memory as far as its guest uses it: {}", id,
                      state.error().to_string());
        again->second.lacks_epc = !state;
        follow_balloon(id);
    });
}

}  // namespace alcove::daemon
