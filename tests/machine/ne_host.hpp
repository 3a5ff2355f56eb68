// SPDX-License-Identifier: Apache-2.0
//
// What stands behind the NE device in its tests: all of a host in one process and one thread. ne::SlotTable
// decides, the primary's carver moves its memory, and an enclave is a second machine on that memory, with a
// guest of a few instructions: `hello.elf`, which ends by itself, or `halt.elf` in debug mode, which does
// not.
//
// An enclave that is given a vCPU before any memory gets none: its first region fails after half of it was
// moved.
//
// On the way it looks at what must hold at each step, and counts what did not.
#pragma once

#include <map>
#include <memory>

#include "machine/machine.hpp"
#include "ne/device.hpp"
#include "ne/slot_table.hpp"
#include "tests/machine/primary.hpp"

namespace alcove::tests {

class NeHost : public ne::Backend {
  public:
    struct Findings {
        uint64_t commands = 0;
        uint64_t starts = 0;
        uint64_t most_running = 0;     // enclaves at once
        uint64_t pages_in_place = 0;   // of enclaves' memory, at their starts: as guests/ne_client wrote them
        uint64_t pages_misplaced = 0;  // none of these, or
        uint64_t bytes_left = 0;       // in the primary's file, of what was taken
        uint64_t pages_not_zero = 0;   // of what was given back
        uint64_t failures = 0;         // of the host's own
        uint64_t peak_bytes = 0;       // in use of all files together
        uint64_t least_bytes = ~uint64_t{0};
    };

    explicit NeHost(Primary& primary);
    ~NeHost() override;
    void connect(ne::Device& device) { device_ = &device; }

    void execute(const ne::Request& request, Done done) override;
    void release_all(std::function<void()> released) override;

    const ne::SlotTable& table() const { return table_; }
    const Findings& findings() const { return findings_; }

  private:
    struct Enclave {
        Fd file;
        uint64_t size = 0;
        std::unique_ptr<machine::Machine> machine;
    };

    void carry_out(const ne::work::AddMemory& work);
    void carry_out(const ne::work::AddVcpus& work);
    void carry_out(const ne::work::Start& work);
    void carry_out(const ne::work::Stop& work);
    void carry_out(const ne::work::Free& work);
    void finish(int32_t rc);
    Result<void> start_machine(ne::SlotUid uid, Enclave& enclave);
    void free(ne::SlotUid uid, std::function<void()> done);
    void release_next();
    void check_order(const Enclave& enclave);
    void check_zero(const memory::GuestRange& range);
    void sample();

    Primary& primary_;
    ne::SlotTable table_;
    ne::Device* device_ = nullptr;
    std::map<ne::SlotUid, Enclave> enclaves_;
    Done done_;
    std::function<void()> released_;
    Findings findings_;
};

}  // namespace alcove::tests
