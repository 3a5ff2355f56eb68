// SPDX-License-Identifier: Apache-2.0
//
// What stands at the other end of a primary's line in the tests of its NE device: all of a host in one
// process and one thread. ne::SlotTable decides, memory is moved as an enclave's shim does it, and an enclave
// is a second machine on that memory, with a guest of a few instructions: `hello.elf`, which ends by itself,
// or `idle.elf` in debug mode, which does not.
//
// Every few commands it dies between having done one and answering it, and is there again with what it had
// stored.
//
// An enclave that is given a vCPU before any memory gets none: its first region fails after half of it was
// moved.
//
// On the way it looks at what must hold at each step, and counts what did not.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "api/connection.hpp"
#include "machine/machine.hpp"
#include "ne/last_answer.hpp"
#include "ne/slot_table.hpp"
#include "tests/machine/primary.hpp"

namespace alcove::tests {

ne::Parent parent_of(Primary& primary);

class NeHost {
  public:
    struct Findings {
        uint64_t commands = 0;
        uint64_t repeated = 0;  // commands that were asked again, because their answer was lost
        uint64_t starts = 0;
        uint64_t most_running = 0;     // enclaves at once
        uint64_t pages_in_place = 0;   // of enclaves' memory, at their starts: as guests/ne_client wrote them
        uint64_t pages_misplaced = 0;  // none of these, or
        uint64_t refused_after = 0;    // bytes of the region that fails
        uint64_t bytes_left = 0;       // in the primary's file, of what was taken
        uint64_t pages_not_zero = 0;   // of what was given back
        uint64_t failures = 0;         // of the host's own, or of the VMM's protocol
        uint64_t peak_bytes = 0;       // in use of all files together
        uint64_t least_bytes = ~uint64_t{0};
        std::set<size_t> descriptors = {};  // that this process has while there is no enclave: numbers
    };

    explicit NeHost(Primary& primary);
    ~NeHost();

    // A new line to it.
    Fd connect();
    // Called with an enclave's memory before that goes back.
    void on_free(std::function<void(const Fd& memory)> look) { on_free_ = std::move(look); }

    const ne::SlotTable& table() const { return table_; }
    const Findings& findings() const { return findings_; }

  private:
    struct Enclave {
        Fd file;
        uint64_t size = 0;
        std::unique_ptr<machine::Machine> machine;
    };

    Result<void> on_message(const api::Envelope& envelope);
    Result<void> on_request(const api::Envelope& envelope);
    void answer(const ne::Reply& reply);
    void send(Bytes message);

    int32_t carry_out(const ne::work::AddMemory& work);
    int32_t carry_out(const ne::work::AddVcpus& work);
    int32_t carry_out(const ne::work::Start& work);
    int32_t carry_out(const ne::work::Stop& work);
    int32_t carry_out(const ne::work::Free& work);
    void start(ne::SlotUid uid);
    Result<void> start_machine(ne::SlotUid uid, Enclave& enclave);
    void on_ended(ne::SlotUid uid);
    void free(ne::SlotUid uid);
    void release_all();
    void check_order(const Enclave& enclave);
    void check_taken();
    void check_zero(const memory::GuestRange& range);
    void sample();

    Primary& primary_;
    uint64_t ram_bytes_;  // of the whole primary
    Bytes pages_;         // that are looked at
    ne::SlotTable table_;
    ne::LastAnswer last_;
    std::unique_ptr<api::Connection> line_;
    std::vector<Bytes> waiting_;  // for a line
    std::map<ne::SlotUid, Enclave> enclaves_;
    memory::MoveCounters moved_;
    Findings findings_;
    std::function<void(const Fd& memory)> on_free_ = [](const Fd&) {};
};

}  // namespace alcove::tests
