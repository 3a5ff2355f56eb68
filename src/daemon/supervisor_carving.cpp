// SPDX-License-Identifier: Apache-2.0
//
// Primary VMs that carve: what their NeControl asks for is done by the shims of their enclaves and the
// broker.
//
//     slot allocated ─► shim launched, with the primary's RAM file ─► regions moved ─► begun ─► ended ─►
//     freed
//                       reserving                       gathering ──────┘              stopping ┘          └►
//                       stopped
//
// An enclave that has ended keeps its memory, and is `stopping`, until its slot is freed: only then may the
// primary touch it again. What an enclave holds is part of its primary's lease, passes over with each
// command, and comes back when the broker has removed the last of it. When the primary itself is over,
// everything goes to the host.
#include <algorithm>

#include <sys/socket.h>

#include "daemon/supervisor.hpp"
#include "memory/layout.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

constexpr std::chrono::milliseconds kGiveBackAgain(500);

// A region of RAM in the RAM file. The slot table has checked that it lies in one range.
uint64_t file_offset(uint64_t memory_bytes, memory::GuestAddress address) {
    for (const auto& region : memory::layout::ram_regions(memory_bytes))
        if (region.range.contains(address))
            return region.file_offset + (address.value() - region.range.base.value());
    ALCOVE_CHECK(false, "only RAM is carved");
    return 0;
}

// Its shim says that it is, or was lost in the middle of a move.
bool may_be_lost(ErrorCode code) {
    return code == ErrorCode::MemoryLost || code == ErrorCode::ConnectionLost || code == ErrorCode::Timeout;
}

Failure is_gone() {
    return fail(ErrorCode::EnclaveDied, "the enclave's shim is gone");
}

}  // namespace

class Supervisor::CarvingDesk : public NeControl::Host {
  public:
    CarvingDesk(Supervisor& supervisor, std::string primary)
        : supervisor_(supervisor), primary_(std::move(primary)) {}

    void open_slot(ne::SlotUid slot) override { supervisor_.open_slot(primary_, slot); }
    void add_memory(const ne::work::AddMemory& work, Done done) override {
        supervisor_.add_memory(primary_, work, std::move(done));
    }
    void start(const ne::Slot& slot, Done done) override {
        supervisor_.start_carved(primary_, slot, std::move(done));
    }
    void stop(ne::SlotUid slot, Freed done) override {
        supervisor_.stop_carved(enclave_id(primary_, slot), std::move(done));
    }
    void free(ne::SlotUid slot, Freed done) override {
        supervisor_.free_carved(enclave_id(primary_, slot), std::move(done));
    }
    void protocol_broken(const Error& error) override {
        const auto primary = supervisor_.vms_.find(primary_);
        if (primary == supervisor_.vms_.end()) return;
        log::error("{}: its VMM broke the rules of its NE line: {}", primary_, error.to_string());
        supervisor_.send_stop(primary->second, std::chrono::milliseconds(0));
    }
    Result<host::CpuPolicy> policy(std::optional<host::CpuPolicy> wanted) override {
        const auto record = wanted ? supervisor_.set_enclave_policy(primary_, *wanted)
                                   : supervisor_.find(primary_, api::VmRole::Primary);
        if (!record) return Failure{record.error()};
        return record->enclave_policy;
    }
    Result<void> save(const CarvingRecord& record) override {
        return supervisor_.store_.save_carving(primary_, record);
    }

  private:
    Supervisor& supervisor_;
    const std::string primary_;
};

PrimaryShape Supervisor::shape_of(const Vm& primary) const {
    std::vector<host::Core> cores;
    const auto capacity = ledger_.capacity();
    const auto add_cores_of = [&](const Vm& vm) {
        for (const auto& part : vm.lease.grant().nodes)
            for (const auto& node : capacity.nodes)
                for (const auto& core : node.lendable)
                    if (std::ranges::find(part.cores, core.id) != part.cores.end()) cores.push_back(core);
    };
    add_cores_of(primary);
    for (const auto& [id, vm] : vms_)
        if (vm.record.parent == primary.record.id && vm.record.is_carved()) add_cores_of(vm);
    std::ranges::sort(cores, {}, &host::Core::id);
    return daemon::shape_of(primary.record.vcpus, cores);
}

Result<ne::Parent> Supervisor::parent_of(const Vm& primary) const {
    ne::Parent parent;
    for (const auto& region : memory::layout::ram_regions(primary.record.memory_bytes))
        parent.ram.push_back(region.range);
    parent.backing_page = host::page_bytes(primary.record.pages);
    parent.core_of_vcpu = shape_of(primary).core_of_vcpu;
    TRY(parent.check());
    return parent;
}

std::vector<Supervisor::Vm*> Supervisor::enclaves_of(const std::string& primary) {
    std::vector<Vm*> carved;
    for (auto& [id, vm] : vms_)
        if (vm.record.parent == primary && !is_over(vm.record.state)) carved.push_back(&vm);
    return carved;
}

// The vCPUs of a shared VM have no cores that an enclave could get.
Result<void> Supervisor::check_enclave_policy(host::CpuPolicy own, host::CpuPolicy policy) const {
    if (policy == host::CpuPolicy::Dedicated && own == host::CpuPolicy::Shared)
        return fail(ErrorCode::InvalidArgument,
                    "a VM on shared CPUs has no cores to give to enclaves; start it with policy 'dedicated'");
    if (policy == host::CpuPolicy::Shared && !ledger_.capacity().shared_policy_safe)
        return fail(
            ErrorCode::Unsupported,
            "the CPU policy 'shared' needs a kernel with core scheduling (CONFIG_SCHED_CORE) on a host "
            "with SMT; use 'dedicated'");
    return {};
}

Result<VmRecord> Supervisor::set_enclave_policy(const std::string& id, host::CpuPolicy policy) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || !found->second.record.enclaves || is_over(found->second.record.state))
        return fail(ErrorCode::InvalidArgument, id + " carves no enclaves");
    Vm& vm = found->second;
    TRY(check_enclave_policy(vm.record.policy, policy));
    const auto before = std::exchange(vm.record.enclave_policy, policy);
    auto saved = commit(vm, "policy", "enclaves: " + std::string(host::to_string(policy)));
    if (!saved) {
        vm.record.enclave_policy = before;
        return Failure{std::move(saved).error()};
    }
    return vm.record;
}

Result<void> Supervisor::restore_carving(Vm& primary) {
    const auto record = TRY(store_.load_carving(primary.record.id));
    auto parent = TRY(parent_of(primary));
    primary.desk = std::make_unique<CarvingDesk>(*this, primary.record.id);
    auto control = record ? NeControl::restore(loop_, std::move(parent), *primary.desk, *record)
                          : NeControl::create(loop_, std::move(parent), *primary.desk);
    primary.ne = TRY(std::move(control));
    for (const auto* enclave : provisioned_with(primary.record.id))
        primary.ne->hold_cid(ne::to_cid(enclave->record.cid));
    return {};
}

// The VMM of a primary's life has begun, or alcoved has.
void Supervisor::ne_line_wanted(const std::string& primary, uint32_t life) {
    const auto found = vms_.find(primary);
    if (found == vms_.end() || found->second.cleaning || !found->second.record.enclaves) return;
    Vm& vm = found->second;
    if (vm.ne == nullptr) {
        const auto ready = restore_carving(vm);
        if (!ready) return log::error("{}: it can not carve: {}", primary, ready.error().to_string());
    }
    auto pair = sys::socket_pair(SOCK_SEQPACKET);
    if (!pair) return log::error("{}: {}", primary, pair.error().to_string());
    const auto taken = vm.ne->take_line(std::move(pair->first), life);
    if (!taken) return log::error("{}: {}", primary, taken.error().to_string());
    vm.link->ne_line(std::move(pair->second), life, [primary](const Result<void>& given) {
        if (!given)
            log::info("{}: the NE line is not wanted any more: {}", primary, given.error().to_string());
    });
}

// ---- One enclave ----

void Supervisor::open_slot(const std::string& primary_id, ne::SlotUid slot) {
    const std::string id = enclave_id(primary_id, slot);
    if (vms_.contains(id)) return;
    Vm& primary = vms_.at(primary_id);
    if (live_count() >= config_.max_enclaves)
        return log::warn("{}: this host runs at most {} VMs", id, config_.max_enclaves);
    VmRecord record;
    record.id = id;
    record.parent = primary_id;
    record.slot_uid = ne::number(slot);
    record.pages = primary.record.pages;
    record.policy = primary.record.enclave_policy;
    record.vmm_slot = free_slot();
    record.created_ms = wall_clock_ms();
    auto lease = ledger_.open(id, record.pages, record.policy);
    const auto stored = lease ? store_.add({{.record = record, .grant = lease->grant()}})
                              : Result<void>(Failure{lease.error()});
    if (!stored) return log::error("{}: {}", id, stored.error().to_string());
    Vm& vm = vms_[id];
    vm.record = std::move(record);
    vm.lease = std::move(*lease);
    vm.hold = Hold::Memory;
    changes_.bump();
    launch_carved(id);
}

void Supervisor::launch_carved(const std::string& id) {
    Vm& vm = vms_.at(id);
    vm.launching = true;
    const auto primary = vms_.find(vm.record.parent);
    if (primary == vms_.end() || primary->second.link == nullptr)
        return order_carved_launch(id, fail(ErrorCode::ConnectionLost, "the primary VM's shim is away"));
    primary->second.link->ram([this, id](Result<Fd> ram) { order_carved_launch(id, std::move(ram)); });
}

// A broker or a shim was away, or alcoved itself was: nobody knows how far the launch had come.
void Supervisor::launch_carved_again(const std::string& id) {
    vms_.at(id).launching = true;
    loop_.after(config_.retry_after, [this, id] {
        broker_.remove(vm_id(id), [this, id](const Result<void>& removed) {
            const auto found = vms_.find(id);
            if (found == vms_.end() || is_over(found->second.record.state)) return;
            if (found->second.hold != Hold::Memory)
                return launched(id, Failure{Error(ErrorCode::Cancelled, "it was freed")});
            if (removed) return launch_carved(id);
            launch_carved_again(id);
        });
    });
}

void Supervisor::order_carved_launch(const std::string& id, Result<Fd> ram) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    if (!ram) return launched(id, Failure{std::move(ram).error()});
    std::vector<Fd> files;
    files.push_back(std::move(*ram));
    order_launch(found->second, std::move(files));
}

void Supervisor::when_gathering(Vm& vm, NeControl::Host::Done done) {
    if (has_ended(vm) || is_over(vm.record.state)) return done(is_gone());
    if (is_there(vm)) return done({});
    vm.when_gathering.push_back(std::move(done));
}

void Supervisor::add_memory(const std::string& primary, const ne::work::AddMemory& work,
                            NeControl::Host::Done done) {
    open_slot(primary, work.slot);
    const std::string id = enclave_id(primary, work.slot);
    const auto found = vms_.find(id);
    if (found == vms_.end())
        return done(fail(ErrorCode::LimitExceeded, "the host has no place for an enclave"));
    const uint64_t offset = file_offset(vms_.at(primary).record.memory_bytes, work.region.base);
    when_gathering(
        found->second, [this, id, work, offset, done = std::move(done)](const Result<void>& ready) {
            if (!ready) return done(ready);
            vms_.at(id).link->add_memory(offset, work.region.size, work.enclave_offset,
                                         [this, id, work, done](const Result<void>& moved) {
                                             if (moved) return memory_added(id, work, done);
                                             const auto vm = vms_.find(id);
                                             if (vm != vms_.end() && may_be_lost(moved.error().code()))
                                                 end_for_lost_memory(vm->second.record.parent);
                                             done(moved);
                                         });
        });
}

void Supervisor::memory_added(const std::string& id, const ne::work::AddMemory& work,
                              NeControl::Host::Done done) {
    const auto found = vms_.find(id);
    auto* lender = found == vms_.end() ? nullptr : lender_of(found->second);
    // Its primary ended meanwhile, and so does it.
    if (lender == nullptr) return done(is_gone());
    Vm& vm = found->second;
    const uint64_t total = work.enclave_offset + work.region.size;
    if (total > vm.record.memory_bytes) {  // not when alcoved was restarted after it had been stored
        const auto passed = ledger_.transfer(lender->lease, vm.lease, {}, total - vm.record.memory_bytes);
        if (!passed) log::error("{}: {}", id, passed.error().to_string());
        vm.record.memory_bytes = total;
        const auto stored = store_.save_memory(vm.record, {lender->lease.grant(), vm.lease.grant()});
        if (!stored) log::error("{}: its memory is not stored: {}", id, stored.error().to_string());
        changes_.bump();
    }
    done({});
}

// Neither the primary nor its enclave has it whole any more.
void Supervisor::end_for_lost_memory(const std::string& primary) {
    const auto found = vms_.find(primary);
    if (found == vms_.end()) return;
    log::error("{}: memory was lost on its way to an enclave; the VM ends", primary);
    send_stop(found->second, std::chrono::milliseconds(0));
}

void Supervisor::start_carved(const std::string& primary_id, const ne::Slot& slot,
                              NeControl::Host::Done done) {
    const std::string id = enclave_id(primary_id, slot.uid);
    const auto found = vms_.find(id);
    if (found == vms_.end()) return done(is_gone());
    Vm& vm = found->second;
    Vm& primary = vms_.at(primary_id);
    vm.record.vcpus = static_cast<uint32_t>(slot.vcpus.size());
    vm.record.cid = ne::number(slot.cid);
    vm.record.debug = slot.is_debug();
    commit_or_retry(vm, "");
    if (vm.record.policy == host::CpuPolicy::Dedicated)
        pass_cores(primary, vm, cores_behind(shape_of(primary), slot.vcpus));
    // Who loses cores goes first.
    assign_cores(primary_id, [this, id, done = std::move(done)](const Result<void>&) {
        const auto carved = vms_.find(id);
        if (carved == vms_.end()) return done(is_gone());
        assign_cores(id, [this, id, done](const Result<void>& assigned) {
            const auto again = vms_.find(id);
            if (again == vms_.end()) return done(is_gone());
            if (assigned) return begin_carved(id, done);
            return_cores(again->second);
            done(assigned);
        });
    });
}

void Supervisor::begin_carved(const std::string& id, NeControl::Host::Done done) {
    Vm& vm = vms_.at(id);
    if (has_ended(vm)) return done(is_gone());
    if (!is_there(vm))
        return when_gathering(vm, [this, id, done](const Result<void>& ready) {
            if (!ready) return done(ready);
            begin_carved(id, done);
        });
    // Begun before alcoved was restarted.
    if (vm.record.state > VmState::Gathering) return join_fabric(id, std::move(done));
    const api::shim::Begin order{.request = {},
                                 .flags = vm.record.debug ? api::shim::Begin::kDebug : 0,
                                 .vcpu_count = vm.record.vcpus,
                                 .threads_per_core = enclave_threads_per_core(vm),
                                 .guest_cid = vm.record.cid,
                                 .memory_bytes = vm.record.memory_bytes};
    vm.link->begin(order, [this, id, done = std::move(done)](const Result<void>& begun) {
        const auto again = vms_.find(id);
        if (begun) return join_fabric(id, done);
        if (again != vms_.end()) return_cores(again->second);
        done(begun);
    });
}

// Of an enclave on whole cores of two threads; what it is told is as true as what its primary is told. On
// shared CPUs no vCPU is the sibling of another.
uint32_t Supervisor::enclave_threads_per_core(const Vm& vm) const {
    const auto primary = vms_.find(vm.record.parent);
    const bool shared = vm.record.policy == host::CpuPolicy::Shared;
    if (primary == vms_.end() || shared || vm.record.vcpus < 2) return 1;
    return shape_of(primary->second).threads_per_core;
}

// An enclave that can not be joined runs all the same, and its primary finds nobody under its CID.
void Supervisor::join_fabric(const std::string& id, NeControl::Host::Done done) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return done(is_gone());
    Vm& vm = found->second;
    if (has_ended(vm) || vm.link == nullptr) return done({});
    if (!vm.record.debug) return join_both(id, Fd(), std::move(done));
    vm.link->console([this, id, done = std::move(done)](Result<Fd> ring) {
        if (!ring) log::warn("{}: its primary VM has no console of it: {}", id, ring.error().to_string());
        join_both(id, ring ? std::move(*ring) : Fd(), done);
    });
}

void Supervisor::join_both(const std::string& id, Fd console_ring, NeControl::Host::Done done) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return done(is_gone());
    Vm& vm = found->second;
    const auto primary = vms_.find(vm.record.parent);
    if (vm.link == nullptr || primary == vms_.end() || primary->second.link == nullptr) return done({});
    auto pair = api::make_fabric_pair();
    if (!pair) {
        log::error("{}: it is not joined with its primary VM: {}", id, pair.error().to_string());
        return done({});
    }
    // The START is answered when both VMMs have been told, or can not be.
    auto to_answer = std::make_shared<int>(2);
    const auto joined = [id, to_answer, done = std::move(done)](const Result<void>& told) {
        if (!told) log::warn("{}: one end of its fabric: {}", id, told.error().to_string());
        if (--*to_answer == 0) done({});
    };
    vm.link->fabric_join({.cid = api::kParentCid, .end = std::move(pair->first), .console_ring = {}}, joined);
    primary->second.link->fabric_join(
        {.cid = vm.record.cid, .end = std::move(pair->second), .console_ring = std::move(console_ring)},
        joined);
}

void Supervisor::leave_fabric(const Vm& carved) {
    const auto primary = vms_.find(carved.record.parent);
    if (carved.record.cid == 0 || primary == vms_.end() || primary->second.link == nullptr) return;
    primary->second.link->fabric_leave(carved.record.cid, [id = carved.record.id](const Result<void>& told) {
        if (!told) log::info("{}: leaving the fabric: {}", id, told.error().to_string());
    });
}

void Supervisor::stop_carved(const std::string& id, NeControl::Host::Freed done) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || has_ended(found->second)) return done();
    found->second.when_ended.push_back(std::move(done));
    send_stop(found->second, std::chrono::milliseconds(0));
}

void Supervisor::free_carved(const std::string& id, NeControl::Host::Freed done) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || is_over(found->second.record.state)) return done();
    Vm& vm = found->second;
    vm.when_gone.push_back(std::move(done));
    if (vm.hold != Hold::Memory) return;
    vm.hold = Hold::GivingBack;
    if (!vm.launching) give_back(id);  // launched() comes here otherwise
}

void Supervisor::give_back(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || found->second.hold != Hold::GivingBack) return;
    Vm& vm = found->second;
    const auto finish = [this, id] {
        const auto again = vms_.find(id);
        if (again == vms_.end()) return;
        again->second.hold = Hold::Nothing;
        end(again->second, std::string(api::stop_reason_name(api::StopReason::HostRequest)),
            "its primary VM freed it", std::nullopt);
    };
    // Without its shim the memory is the host's already; the primary's VMM reserves it again.
    if (vm.link == nullptr || vm.record.memory_bytes == 0) return finish();
    vm.link->give_back([this, id, finish](const Result<void>& given) {
        if (given || given.error().code() != ErrorCode::OutOfMemory) return finish();
        log::warn("{}: its primary VM's memory is not there yet: {}", id, given.error().to_string());
        loop_.after(kGiveBackAgain, [this, id] { give_back(id); });
    });
}

// ---- Cores and leases ----

void Supervisor::pass_cores(Vm& from, Vm& to, const std::vector<host::CoreId>& cores) {
    const auto& held = to.lease.grant().nodes;
    const bool passed_before =
        std::ranges::any_of(held, [](const auto& part) { return !part.cores.empty(); });
    if (passed_before) return;  // before alcoved was restarted
    const auto passed = ledger_.transfer(from.lease, to.lease, cores, 0);
    if (!passed) log::error("{}: {}", to.record.id, passed.error().to_string());
    const auto stored = store_.save_leases({from.lease.grant(), to.lease.grant()});
    if (!stored) log::error("{}: its lease is not stored: {}", to.record.id, stored.error().to_string());
}

void Supervisor::assign_cores(const std::string& id, std::function<void(Result<void>)> done) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return done(is_gone());
    const Vm& vm = found->second;
    const bool dedicated = vm.record.policy == host::CpuPolicy::Dedicated;
    // An enclave on shared CPUs asks, too: the broker knows whether siblings can be shared.
    if (!dedicated && !vm.record.is_carved()) return done({});
    api::broker::AssignCores order{};
    order.flags = dedicated ? api::broker::Launch::kDedicated : 0;
    order.vm_id = api::VmId::Field::of(vm.record.id);
    for (const auto cpu : dedicated ? vm.lease.grant().cpus : ledger_.reserve_cpus())
        if (cpu.value < api::kMaxHostCpus) order.host_cpus.add(cpu.value);
    broker_.assign_cores(order, [this, id, done = std::move(done)](const Result<std::string>& note) {
        if (!note && note.error().code() == ErrorCode::ConnectionLost) {
            loop_.after(config_.retry_after, [this, id, done] { assign_cores(id, done); });
            return;
        }
        if (!note) {
            log::warn("{}: its cores could not be changed: {}", id, note.error().to_string());
            return done(Failure{note.error()});
        }
        const auto again = vms_.find(id);
        if (again != vms_.end()) note_cores(again->second, *note);
        done({});
    });
}

// The primary of an enclave, as long as what the one has of the host can pass to the other: an answer that
// comes late may find that all of it has gone back to the host.
Supervisor::Vm* Supervisor::lender_of(const Vm& carved) {
    const auto primary = vms_.find(carved.record.parent);
    const bool both_hold = primary != vms_.end() && primary->second.lease.holds() && carved.lease.holds();
    return both_hold ? &primary->second : nullptr;
}

// A start that failed: the cores are the primary's again, the memory is not.
void Supervisor::return_cores(Vm& carved) {
    auto* lender = lender_of(carved);
    if (lender == nullptr) return;
    std::vector<host::CoreId> cores;
    for (const auto& part : carved.lease.grant().nodes)
        cores.insert(cores.end(), part.cores.begin(), part.cores.end());
    if (cores.empty()) return;
    const auto passed = ledger_.transfer(carved.lease, lender->lease, cores, 0);
    if (!passed) return log::error("{}: {}", carved.record.id, passed.error().to_string());
    const auto stored = store_.save_leases({carved.lease.grant(), lender->lease.grant()});
    if (!stored) log::error("{}: its lease is not stored: {}", carved.record.id, stored.error().to_string());
    assign_cores(carved.record.parent, [](const Result<void>&) {});
}

// Nothing is left of the enclave: what it held is its primary's again, or the host's.
void Supervisor::return_lease(Vm& carved) {
    auto* lender = lender_of(carved);
    if (lender == nullptr || lender->cleaning) return;
    return_cores(carved);
    const auto passed =
        ledger_.transfer(carved.lease, lender->lease, {}, carved.lease.grant().memory_bytes());
    if (!passed) log::error("{}: {}", carved.record.id, passed.error().to_string());
    const auto stored = store_.save_leases({carved.lease.grant(), lender->lease.grant()});
    if (!stored)
        log::error("{}: its lease is not stored: {}", carved.record.parent, stored.error().to_string());
}

// ---- What happens to an enclave ----

// It is gathering now, or has ended: whoever waits for that hears of it.
void Supervisor::carved_changed(Vm& vm) {
    const std::string id = vm.record.id;
    if (is_there(vm) || has_ended(vm)) {
        const Result<void> ready = has_ended(vm) ? Result<void>(is_gone()) : Result<void>();
        for (const auto& done : std::exchange(vm.when_gathering, {}))
            done(ready);
    }
    const auto found = vms_.find(id);
    if (found == vms_.end() || !has_ended(found->second)) return;
    leave_fabric(found->second);
    for (const auto& done : std::exchange(found->second.when_ended, {}))
        done();
    const auto primary = vms_.find(vm.record.parent);
    if (primary != vms_.end() && primary->second.ne != nullptr)
        primary->second.ne->enclave_ended(ne::to_slot_uid(vm.record.slot_uid));
}

// Their primary is over: nobody frees them, and their memory is nobody's but the host's.
void Supervisor::abandon_enclaves(const std::string& primary) {
    const auto found = vms_.find(primary);
    if (found != vms_.end() && found->second.ne != nullptr) found->second.ne->close();
    for (auto* vm : enclaves_of(primary)) {
        vm->hold = Hold::Nothing;
        if (vm->launching && !vm->record.is_carved()) vm->record.state = VmState::Stopping;
        if (vm->launching) continue;  // launched() sees that nothing holds it, or that it stops
        end(*vm, std::string(api::stop_reason_name(api::StopReason::Killed)), "its primary VM ended",
            std::nullopt);
    }
}

}  // namespace alcove::daemon
