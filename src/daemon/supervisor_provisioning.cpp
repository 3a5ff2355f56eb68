// SPDX-License-Identifier: Apache-2.0
//
// Enclaves that a primary VM's configuration names: they start with it, out of its share of the host, and
// nothing in it need know of them.
//
//     the VM's share is reserved whole ─► part of it passes to each enclave ─► the VM gets what is left
//     both VMMs are there ─► joined in the VM's fabric; again at each of the VM's resets
//     an enclave ended ─► its part is the VM's again, as long as that lives
//
// To its shim such an enclave is one like those of the host, with an image of its own.
#include <algorithm>
#include <set>

#include "api/limits.hpp"
#include "api/ne_messages.hpp"
#include "daemon/supervisor.hpp"
#include "ne/slot_uid.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"

namespace alcove::daemon {

namespace {

Failure wrong(const std::string& what) {
    return fail(ErrorCode::InvalidArgument, "an enclave that starts with a VM: " + what);
}

Result<void> check_one(const LaunchRequest& vm, const LaunchRequest& enclave) {
    if (enclave.vcpus == 0 || enclave.vcpus > api::kMaxVcpus)
        return wrong("it has 1 to " + std::to_string(api::kMaxVcpus) + " vCPUs");
    if (!is_aligned<uint64_t>(enclave.memory_bytes, 2_MiB) ||
        !api::is_memory_size(enclave.memory_bytes, static_cast<uint32_t>(host::page_bytes(vm.pages))))
        return wrong("its memory is a multiple of 2 MiB");
    if (enclave.image_bytes == 0 || enclave.image_bytes > api::kMaxImageBytes)
        return wrong("its image is empty or too large");
    if (enclave.cid && !api::is_guest_cid(*enclave.cid)) return wrong("it cannot have this context id");
    if (enclave.policy != vm.policy && enclave.policy != host::CpuPolicy::Shared)
        return wrong("a VM on shared CPUs has no cores to give to it");
    return {};
}

}  // namespace

Result<Supervisor::Share> Supervisor::share_of(const LaunchRequest& request) const {
    Share left{.vcpus = request.vcpus, .memory_bytes = request.memory_bytes};
    if (request.provisioned.size() > api::ne::kMaxEnclaves)
        return wrong("there are at most " + std::to_string(api::ne::kMaxEnclaves));
    if (!request.provisioned.empty() && request.role != api::VmRole::Primary)
        return wrong("only a primary VM has such");
    std::set<uint64_t> cids;
    std::set<std::string> names{request.name};
    for (const auto& enclave : request.provisioned) {
        TRY(check_one(request, enclave));
        if (enclave.policy == host::CpuPolicy::Shared && request.policy != enclave.policy)
            TRY(check_enclave_policy(request.policy, enclave.policy));
        if (enclave.cid && !cids.insert(*enclave.cid).second) return wrong("two have one context id");
        if (!enclave.name.empty() && !names.insert(enclave.name).second)
            return fail(ErrorCode::EnclaveNameTaken, "'" + enclave.name + "' is there twice");
        TRY(check_name_is_free(enclave.name));
        const uint32_t vcpus = enclave.policy == host::CpuPolicy::Dedicated ? enclave.vcpus : 0;
        if (vcpus >= left.vcpus || enclave.memory_bytes >= left.memory_bytes)
            return wrong("the VM's CPUs and memory are not enough for its enclaves and itself");
        left.vcpus -= vcpus;
        left.memory_bytes -= enclave.memory_bytes;
    }
    return left;
}

// The last cores that the VM has, whole ones, with at least so many threads.
std::vector<host::CoreId> Supervisor::last_cores(const host::Grant& grant, uint32_t threads) const {
    std::vector<host::Core> held;
    for (const auto& node : ledger_.capacity().nodes)
        for (const auto& core : node.lendable)
            for (const auto& part : grant.nodes)
                if (std::ranges::find(part.cores, core.id) != part.cores.end()) held.push_back(core);
    std::ranges::sort(held, std::greater{}, &host::Core::id);
    std::vector<host::CoreId> cores;
    size_t found = 0;
    for (const auto& core : held) {
        if (found >= threads) break;
        found += core.cpus.size();
        cores.push_back(core.id);
    }
    return cores;
}

Result<host::Lease> Supervisor::divide(host::Lease& whole, const std::string& id,
                                       const LaunchRequest& enclave) {
    auto part = TRY(ledger_.open(id, whole.grant().pages, enclave.policy));
    std::vector<host::CoreId> cores;
    if (enclave.policy == host::CpuPolicy::Dedicated) cores = last_cores(whole.grant(), enclave.vcpus);
    TRY(ledger_.transfer(whole, part, cores, enclave.memory_bytes));
    return part;
}

// All of them, or an error and everything is with `whole` or given back.
Result<std::vector<Supervisor::Provisioned>> Supervisor::provision(const VmRecord& primary,
                                                                   host::Lease& whole,
                                                                   LaunchRequest& request) {
    std::vector<Provisioned> all;
    std::set<uint32_t> slots{primary.vmm_slot};
    std::set<uint64_t> cids;
    for (const auto& enclave : request.provisioned)
        if (enclave.cid) cids.insert(*enclave.cid);
    uint64_t next_cid = config_.first_cid;
    const auto new_uid = ne::system_slot_uids();
    for (auto& enclave : request.provisioned) {
        while (!enclave.cid && !cids.insert(next_cid).second)
            ++next_cid;
        Provisioned one;
        do {
            one.record.id = enclave_id(primary.id, new_uid());
        } while (
            std::ranges::any_of(all, [&](const auto& other) { return other.record.id == one.record.id; }));
        one.record.parent = primary.id;
        one.record.name = enclave.name;
        one.record.cid = enclave.cid.value_or(next_cid);
        one.record.vcpus = enclave.vcpus;
        one.record.memory_bytes = enclave.memory_bytes;
        one.record.pages = primary.pages;
        one.record.policy = enclave.policy;
        one.record.debug = enclave.debug;
        one.record.image_bytes = enclave.image_bytes;
        one.record.vmm_slot = free_slot(slots);
        slots.insert(one.record.vmm_slot);
        one.record.created_ms = primary.created_ms;
        one.record.timings.requested = request.requested_ns;
        one.lease = TRY(divide(whole, one.record.id, enclave));
        one.image = std::move(enclave.image);
        all.push_back(std::move(one));
    }
    if (primary.policy == host::CpuPolicy::Dedicated && whole.grant().cpus.size() < primary.vcpus)
        return fail(
            ErrorCode::NoFreeCores,
            "enclaves take whole cores, and what is left of the VM's is not enough for its own vCPUs");
    return all;
}

void Supervisor::launch_provisioned(Provisioned one) {
    Vm& vm = vms_[one.record.id];
    vm.record = std::move(one.record);
    vm.lease = std::move(one.lease);
    std::vector<Fd> files;
    files.push_back(std::move(one.image));
    order_launch(vm, std::move(files));
}

std::vector<Supervisor::Vm*> Supervisor::provisioned_with(const std::string& primary) {
    std::vector<Vm*> found;
    for (auto& [id, vm] : vms_)
        if (vm.record.parent == primary && !vm.record.is_carved() && !has_ended(vm) &&
            !is_over(vm.record.state))
            found.push_back(&vm);
    return found;
}

// Whichever of two shims is there last: they hold a join until their VMM can be told. The console of a debug
// enclave is there, for its primary VM to read, when its VMM is being started.
void Supervisor::join_provisioned(const std::string& primary_id) {
    const auto is_up = [](const Vm& vm) {
        const VmState least = vm.record.debug ? VmState::Starting : VmState::Measuring;
        return vm.link != nullptr && !vm.adopting && !has_ended(vm) && vm.record.state >= least;
    };
    const auto primary = vms_.find(primary_id);
    if (primary == vms_.end() || !is_up(primary->second)) return;
    for (auto* vm : provisioned_with(primary_id))
        if (is_up(*vm) && !std::exchange(vm->joined, true))
            join_fabric(vm->record.id, [](const Result<void>&) {});
}

// alcoved has come back: who ran had been joined. The others are joined, again or not, before either runs.
void Supervisor::restore_provisioned(const std::string& primary_id) {
    const bool ran = vms_.at(primary_id).record.state >= VmState::Running;
    for (auto* vm : provisioned_with(primary_id))
        vm->joined = ran && vm->record.state >= VmState::Running;
}

// The VMM of its new life knows nobody.
void Supervisor::unjoin_provisioned(const std::string& primary_id) {
    for (auto* vm : provisioned_with(primary_id))
        vm->joined = false;
}

}  // namespace alcove::daemon
