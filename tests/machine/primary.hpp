// SPDX-License-Identifier: Apache-2.0
//
// A primary VM for tests of carving: a machine with its RAM's file kept at hand, what its VMM and the shim of
// an enclave do to it together, and a console that can be waited for.
//
//     create() ──► machine().add_pci(...) ──► boot() ──► run_until(...)
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "machine/carver.hpp"
#include "machine/machine.hpp"
#include "memory/region_mover.hpp"
#include "support/guarded.hpp"
#include "virtio/blk.hpp"

namespace alcove::tests {

struct PrimaryOptions {
    std::string kernel = {};                           // name of a test file
    std::optional<std::string> initrd = std::nullopt;  // likewise
    std::string command_line = {};
    uint32_t vcpus = 1;
    uint64_t memory_bytes = 0;
    uint64_t memory_block = 0;  // PrimaryShape
    uint64_t page_size = 4096;  // of its RAM's file; 2 MiB needs huge pages in the host
    enum class Pages { All, Touched };
    Pages pages = Pages::All;  // that its RAM's file has from the beginning
    Fd disk = {};              // its content; none that is not open
};

class Primary {
  public:
    static Result<std::unique_ptr<Primary>> create(PrimaryOptions options);
    ~Primary();

    Result<void> boot();
    // Runs the event loop until the condition holds; false when it does not in time.
    bool run_until(const std::function<bool()>& condition, std::chrono::seconds within);

    // A range of its RAM to or from a place in an enclave's file. They run the event loop.
    Result<void> take(memory::GuestRange range, memory::FilePart to);
    Result<void> give_back(memory::GuestRange range, memory::FilePart from);
    // Of an enclave that is lost with its pages, or did not get them.
    Result<void> readmit(memory::GuestRange range);
    memory::MoveSizes move_sizes() const;
    memory::FilePart ram_at(memory::GuestAddress address) const;

    EventLoop& loop() { return *loop_; }
    const Fd& ram() const { return ram_; }
    machine::Machine& machine() { return *machine_; }
    const machine::Carver::Counters& carved() const { return carver_->counters(); }
    const memory::MoveCounters& moved() const { return moved_; }
    const std::optional<machine::MachineEnd>& end() const { return end_; }
    std::string console() const;
    size_t count_on_console(char wanted) const;
    // Of all vCPUs together: what no memory and no device answered, and all register accesses.
    uint64_t unclaimed() const;
    uint64_t mmio() const;

  private:
    explicit Primary(PrimaryOptions options) : options_(std::move(options)) {}
    Result<void> wait_for(const std::optional<Result<void>>& done);

    PrimaryOptions options_;
    std::unique_ptr<EventLoop> loop_;
    Fd ram_;
    Guarded<std::string> console_;
    std::unique_ptr<virtio::BlockDevice> disk_;
    std::unique_ptr<machine::Machine> machine_;
    std::unique_ptr<machine::Carver> carver_;
    memory::MoveCounters moved_;
    std::optional<machine::MachineEnd> end_;
};

// Pages of 2 MiB that the host sets aside for as long as this lives.
class HugePages {
  public:
    explicit HugePages(uint64_t pages);
    ~HugePages();
    HugePages(const HugePages&) = delete;
    HugePages& operator=(const HugePages&) = delete;

    uint64_t had() const { return had_; }  // fewer where the host has no more
    // Those in use that are too many then go when they are let go.
    void change(uint64_t pages);

  private:
    uint64_t had_ = 0;
};

// An empty file of that page size, as RAM is.
Result<Fd> ram_file(const char* name, uint64_t page_size, uint64_t size);
// What the host gives for a file: its pages, in bytes.
uint64_t bytes_in_use(const Fd& file);
// What guests/asm/pattern.inc has at an address of the guest.
uint64_t pattern_at(uint64_t address);

}  // namespace alcove::tests
