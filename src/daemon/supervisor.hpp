// SPDX-License-Identifier: Apache-2.0
//
// Keeps all VMs, enclaves and primary ones: starts them through the broker, follows them through their shims,
// cleans up behind them, and finds them again after a restart of the daemon. It belongs to the event loop's
// thread; nothing it does blocks on another process, so one slow VM delays no other.
//
// Every change of a VM's state is in the Store before anybody is told. What a VM holds of the
// host is free again only when the broker has said that nothing of it is left.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker_link.hpp"
#include "daemon/changes.hpp"
#include "daemon/ne_control.hpp"
#include "daemon/primary_shape.hpp"
#include "daemon/store.hpp"
#include "daemon/vm_link.hpp"
#include "daemon/vm_record.hpp"
#include "host/host_memory.hpp"
#include "host/ledger.hpp"
#include "host/sgx.hpp"

namespace alcove::daemon {

struct LaunchDisk {
    Fd file;  // regular file or block device, open as the guest may use it
    DiskRecord record;
};

struct LaunchNetwork {
    Fd link;  // what `kind` says
    api::NetworkKind kind = api::NetworkKind::None;
    std::optional<api::MacAddress> mac;
};

struct LaunchRequest {
    api::VmRole role = api::VmRole::Enclave;
    std::string name;  // may be empty
    Fd image;          // regular file or block device, open for reading
    uint64_t image_bytes = 0;
    uint32_t vcpus = 0;
    std::vector<host::CpuId> cpus;  // of an enclave: if not empty, these of the host
    uint64_t memory_bytes = 0;
    host::PageSize pages = host::PageSize::Size4K;
    host::CpuPolicy policy = host::CpuPolicy::Dedicated;
    bool debug = false;                             // of an enclave
    bool enclaves = false;                          // of a primary VM: it may carve enclaves out of itself
    std::optional<host::CpuPolicy> enclave_policy;  // ... of those enclaves; nothing: its own
    std::optional<uint64_t> cid;                    // of an enclave
    std::vector<LaunchDisk> disks;                  // of a primary VM
    std::vector<LaunchNetwork> networks;
    std::optional<sgx::Configuration> sgx;
    Fd spill;  // of EPC with a budget (spill_file.hpp)
    // Of a primary VM: enclaves that start with it. vCPUs (of dedicated ones) and memory come out of the VM's
    // numbers above; pages and role are the VM's to say.
    std::vector<LaunchRequest> provisioned;
    uint64_t requested_ns = 0;  // CLOCK_MONOTONIC
};

class Supervisor {
  public:
    template <typename T>
    using Answer = std::function<void(Result<T>)>;
    using Counters = std::vector<api::vmm::StatisticsEntry>;

    struct Config {
        std::string run_directory = "/run/alcove";
        size_t max_enclaves = 256;  // that hold something
        size_t kept_records = 128;  // of those that are over
        size_t kept_consoles = 16;  // of those, whose console can still be read
        uint64_t first_cid = 16;
        std::chrono::milliseconds retry_after{2000};    // a cleanup that failed
        std::chrono::milliseconds balloon_every{1000};  // how often a guest's balloon is looked at
        std::chrono::milliseconds force_margin{10000};  // how long a shim may take beyond its own deadline
        // What the host has free at this moment; may be empty.
        std::function<Result<host::HostMemory>()> memory_now;
        host::SgxHardware sgx{};  // of the host's processors
    };

    Supervisor(EventLoop& loop, Store& store, host::Ledger& ledger, Changes& changes, Config config);
    ~Supervisor();
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    // Loads what the store knows, connects to the shims that still run, and to the broker.
    Result<void> start();

    // The VM is in state `reserving`, stored, and on its way. ErrorCode::NoFreeCores, NoFreeMemory,
    // NoHugePages, NoFreeEpc, EnclaveNameTaken, AlreadyExists (CID), LimitExceeded, InvalidArgument,
    // ConnectionLost.
    Result<VmRecord> launch(LaunchRequest request);
    std::vector<VmRecord> list() const;  // by age
    // By id, or by name: the one that is not over, else the latest. ErrorCode::EnclaveNotFound. The other
    // functions know VMs of both roles; who was asked for one of a role asks here first.
    Result<VmRecord> find(const std::string& id_or_name, api::VmRole role = api::VmRole::Enclave) const;
    // Goes on asynchronously to `stopped`. One that is over already stays as it is.
    Result<VmRecord> stop(const std::string& id_or_name, std::chrono::milliseconds force_after);
    // Stops it first if need be; then it is forgotten.
    Result<VmRecord> remove(const std::string& id_or_name);

    // Of a primary VM: the CPU policy of the enclaves that it carves from now on. ErrorCode::InvalidArgument,
    // Unsupported (shared, where the host's siblings can not be).
    Result<VmRecord> set_enclave_policy(const std::string& id, host::CpuPolicy policy);

    void counters(const std::string& id_or_name, Answer<Counters> answer);
    // Of a VM with SGX: its state, after what is to be done. ErrorCode::InvalidArgument of one without.
    void sgx(const std::string& id_or_name, api::vmm::SgxAction action, Answer<api::vmm::SgxState> answer);
    // Of one whose EPC has a budget: another one. ErrorCode::InvalidArgument, NoFreeMemory, Busy (the last
    // one is not there yet), EnclaveNotReady.
    void set_epc_budget(const std::string& id_or_name, uint64_t mib, Answer<api::vmm::SgxState> answer);
    // Of one whose EPC has a balloon: how much its guest is asked for. What the host has lent of it already
    // is taken back first, where it is to be less. The same errors.
    void set_epc_balloon(const std::string& id_or_name, uint64_t mib, Answer<api::vmm::SgxState> answer);
    // The console ring, also of one that ended lately. ErrorCode::EnclaveNotDebug of an enclave outside debug
    // mode.
    void console(const std::string& id_or_name, Answer<Fd> answer);

    std::optional<host::Grant> grant(const std::string& id) const;
    std::string vm_directory(const std::string& id) const;
    const std::string& broker_trouble() const { return broker_.trouble(); }

  private:
    class CarvingDesk;  // what a primary VM's NeControl asks for, by its id

    // What a carved enclave was given goes back to its primary VM before anything else of it goes.
    enum class Hold : uint8_t { Nothing, Memory, GivingBack };

    struct Vm {
        VmRecord record;
        host::Lease lease;
        std::unique_ptr<VmLink> link;
        Fd shim_pidfd;
        EventLoop::WatchId shim_watch = 0;
        Fd console_ring;
        EventLoop::TimerId force_timer = 0;
        int link_losses = 0;
        bool launching = false;  // the broker has not answered yet
        bool stop_sent = false;
        bool cleaning = false;      // on the way from the end to being gone
        bool adopting = false;      // its shim has not spoken since the daemon's start
        bool unsaved = false;       // the store refused the last change
        bool forget = false;        // remove the record when it is over
        bool joined = false;        // of an enclave that was started with its primary VM: in its fabric
        bool epc_changing = false;  // its budget, or its balloon

        // Of one whose EPC has a balloon.
        EventLoop::TimerId balloon_timer = 0;
        bool lacks_epc = false;  // the host has not what its guest does not give any more

        // Of a primary VM that may carve.
        std::unique_ptr<NeControl::Host> desk;
        std::unique_ptr<NeControl> ne;
        // Of a carved enclave.
        Hold hold = Hold::Nothing;
        std::vector<NeControl::Host::Done> when_gathering;
        std::vector<NeControl::Host::Freed> when_ended;
        std::vector<NeControl::Host::Freed> when_gone;
    };

    // supervisor.cpp
    Result<void> check(const LaunchRequest& request) const;
    Result<void> check_name_is_free(const std::string& name) const;
    Result<uint64_t> choose_cid(const LaunchRequest& request);
    Result<std::string> make_id(api::VmRole role) const;
    // As the enclave's attestation documents name it.
    static std::string enclave_id(const std::string& instance, ne::SlotUid uid);
    uint32_t free_slot(std::set<uint32_t> used = {}) const;
    size_t live_count() const;
    Vm* find_vm(const std::string& id_or_name);
    const Vm* find_vm(const std::string& id_or_name, std::optional<api::VmRole> role = {}) const;
    Result<void> commit(Vm& vm, std::string_view event_kind, std::string detail = {});
    void commit_or_retry(Vm& vm, std::string_view event_kind, const std::string& detail = {});
    void prune();

    // It is over, or will be as soon as nothing is left of it.
    static bool has_ended(const Vm& vm) { return !vm.record.reason.empty(); }

    // supervisor_life.cpp: what happens to one VM, by id, because it may be gone when it happens
    api::broker::Launch launch_order(const Vm& vm) const;  // without its request's id
    void order_launch(Vm& vm, std::vector<Fd> files);
    void launched(const std::string& id, Result<BrokerLink::Launched> answer);
    void watch_shim(Vm& vm, Fd pidfd);
    void connect_shim(const std::string& id);
    void shim_told(const std::string& id, const VmLink::State& state);
    void shim_closed(const std::string& id, const Error& error);
    void fetch_console(Vm& vm);
    void send_stop(Vm& vm, std::chrono::milliseconds force_after);
    void end(Vm& vm, std::string reason, std::string detail, std::optional<StoredError> error);
    void clean(const std::string& id);
    void release_shim(const std::string& id);
    void remove_from_host(const std::string& id);
    void gone(const std::string& id);
    void adopt(Store::Saved saved);
    void remove_leftovers();

    // supervisor_sgx.cpp: SGX of VMs that run
    Result<void> check_budget(const Vm& vm, uint64_t mib) const;
    static Result<void> check_changeable(const Vm& vm);
    void change_budget(Vm& vm, uint64_t mib, Answer<api::vmm::SgxState> answer);
    Result<void> hold_epc(Vm& vm, uint64_t bytes);
    void limit_memory(const std::string& id, uint64_t budget_mib, std::function<void(Result<void>)> done);
    void order_budget(const std::string& id, uint64_t mib, Answer<api::vmm::SgxState> answer);
    void budget_is(const std::string& id, uint64_t mib, std::function<void()> done);
    void budget_is_not(const std::string& id, const Error& why);
    void fit_memory(const std::string& id, std::function<void()> done);

    // supervisor_balloon.cpp: EPC that guests give back
    void order_balloon(const std::string& id, uint64_t mib, Answer<api::vmm::SgxState> answer);
    void follow_balloon(const std::string& id);
    void look_at_balloon(const std::string& id);
    void balloon_is(const std::string& id, uint64_t held_bytes);

    // supervisor_provisioning.cpp: enclaves that start with a primary VM
    struct Share {
        uint32_t vcpus;
        uint64_t memory_bytes;
    };
    struct Provisioned {
        VmRecord record;
        host::Lease lease;
        Fd image;
    };
    Result<Share> share_of(const LaunchRequest& request) const;  // what is left for the VM itself
    std::vector<host::CoreId> last_cores(const host::Grant& grant, uint32_t threads) const;
    Result<host::Lease> divide(host::Lease& whole, const std::string& id, const LaunchRequest& enclave);
    Result<std::vector<Provisioned>> provision(const VmRecord& primary, host::Lease& whole,
                                               LaunchRequest& request);
    void launch_provisioned(Provisioned one);
    std::vector<Vm*> provisioned_with(const std::string& primary);
    void join_provisioned(const std::string& primary);
    void restore_provisioned(const std::string& primary);
    void unjoin_provisioned(const std::string& primary);

    // supervisor_carving.cpp: primary VMs and the enclaves that are carved out of them
    Result<void> check_enclave_policy(host::CpuPolicy own, host::CpuPolicy policy) const;
    Result<void> restore_carving(Vm& primary);
    Result<ne::Parent> parent_of(const Vm& primary) const;
    PrimaryShape shape_of(const Vm& primary) const;
    std::vector<Vm*> enclaves_of(const std::string& primary);
    void ne_line_wanted(const std::string& primary, uint32_t life);
    void open_slot(const std::string& primary, ne::SlotUid slot);
    void launch_carved(const std::string& id);
    void order_carved_launch(const std::string& id, Result<Fd> ram);
    void launch_carved_again(const std::string& id);
    // Its shim has told that it gathers, or is further.
    static bool is_there(const Vm& vm) {
        return vm.link != nullptr && !vm.adopting && vm.record.state >= VmState::Gathering && !has_ended(vm);
    }
    void when_gathering(Vm& vm, NeControl::Host::Done done);
    void add_memory(const std::string& primary, const ne::work::AddMemory& work, NeControl::Host::Done done);
    void memory_added(const std::string& id, const ne::work::AddMemory& work, NeControl::Host::Done done);
    void start_carved(const std::string& primary, const ne::Slot& slot, NeControl::Host::Done done);
    void begin_carved(const std::string& id, NeControl::Host::Done done);
    void end_for_lost_memory(const std::string& primary);
    uint32_t enclave_threads_per_core(const Vm& vm) const;
    void note_cores(Vm& vm, const std::string& note);
    void take_metadata(const std::string& id, ByteView section);
    Vm* lender_of(const Vm& carved);
    void return_cores(Vm& carved);
    void join_fabric(const std::string& id, NeControl::Host::Done done);
    void join_both(const std::string& id, Fd console_ring, NeControl::Host::Done done);
    void leave_fabric(const Vm& carved);
    void stop_carved(const std::string& id, NeControl::Host::Freed done);
    void free_carved(const std::string& id, NeControl::Host::Freed done);
    void give_back(const std::string& id);
    void pass_cores(Vm& from, Vm& to, const std::vector<host::CoreId>& cores);
    void assign_cores(const std::string& id, std::function<void(Result<void>)> done);
    void return_lease(Vm& carved);
    void carved_changed(Vm& vm);
    void abandon_enclaves(const std::string& primary);

    EventLoop& loop_;
    Store& store_;
    host::Ledger& ledger_;
    Changes& changes_;
    Config config_;
    std::map<std::string, Vm> vms_;  // by id; a Vm's address is stable
    BrokerLink broker_;
};

}  // namespace alcove::daemon
