// SPDX-License-Identifier: Apache-2.0
//
// What alcoved must not forget: its instance id, VMs, what they hold of the host, and events. Each
// function is one transaction, on disk when it returns; whoever answers a client calls it first. What moves
// between VMs that run is not waited for until it is on the disk: it means nothing once the host has lost its
// power, and its primary waits for every region.
#pragma once

#include <string>
#include <vector>

#include "daemon/carving_record.hpp"
#include "daemon/sqlite.hpp"
#include "daemon/vm_record.hpp"
#include "host/ledger.hpp"

namespace alcove::daemon {

class Store {
  public:
    static constexpr int kSchemaVersion = 9;
    static constexpr uint64_t kKeptEvents = 10'000;

    // Makes or migrates the schema. ErrorCode::VersionMismatch when a newer release made the file.
    static Result<Store> open(const std::string& path);

    // "i-" and 17 hexadecimal digits, made at first use and never changed.
    const std::string& instance_id() const { return instance_id_; }

    struct Saved {
        VmRecord record;
        host::Grant grant;  // without nodes when nothing is held
    };
    Result<std::vector<Saved>> load() const;  // by age

    // New VMs and what they hold, all of them or none; the first event of each is its state.
    Result<void> add(const std::vector<Saved>& vms);
    // A changed VM. `event` is left out when its kind is empty.
    Result<void> save(const VmRecord& record, const Event& event = {});
    // The same, and what it held is free again.
    Result<void> save_and_free(const VmRecord& record, const Event& event);
    Result<void> remove(const std::string& id, const Event& event);

    // What VMs hold now: parts of it have passed from one to the other.
    Result<void> save_leases(const std::vector<host::Grant>& grants);
    // The same, and a VM's size is another one with it.
    Result<void> save_memory(const VmRecord& record, const std::vector<host::Grant>& grants);

    // The slots of a primary VM (store_carving.cpp). Regions that are stored already are not written again:
    // they come one by one, and there may be very many.
    Result<void> save_carving(const std::string& id, const CarvingRecord& record);
    Result<std::optional<CarvingRecord>> load_carving(const std::string& id) const;

    // Events after `since`, at most `limit`, by sequence.
    Result<std::vector<Event>> events(uint64_t since, size_t limit) const;

    // The next context id to give: counts up and never back, so that a late packet finds nobody.
    Result<uint64_t> next_cid(uint64_t first);

  private:
    explicit Store(Database database) : database_(std::move(database)) {}
    Result<void> migrate();
    Result<void> load_instance_id();
    Result<void> write_record(const VmRecord& record);
    Result<void> write_lease(const host::Grant& grant);
    Result<void> write_slots(const std::string& id, const std::vector<ne::Slot>& slots);
    Result<void> write_regions(const std::string& id, const ne::Slot& slot);
    Result<void> write_event(const Event& event);

    Database database_;
    std::string instance_id_;
};

int64_t wall_clock_ms();
// "i-" and 17 hexadecimal digits, at random.
Result<std::string> make_instance_id();

}  // namespace alcove::daemon
