// SPDX-License-Identifier: Apache-2.0
//
// A kernel whose page tables, gates, descriptors and stacks say anything, and which asks us to look at them.
// Nothing may crash; a walk gives what its tables allow; a write is made whole or not at all; and nothing but
// accessed and dirty bits changes otherwise.
//
// Input: rows of one byte (what to do), and the numbers and bytes it needs.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sgx_vm/interrupt_frame.hpp"
#include "sgx_vm/table_maker_test.hpp"
#include "support/fuzz_input.hpp"

namespace {

using namespace alcove;
using namespace alcove::sgx_vm;
using sgx::Access;
using sgx::kPageSize;

void require(bool condition) {
    if (!condition) std::abort();
}

constexpr uint64_t kRamSize = 16 * kPageSize;
constexpr uint64_t kTables = 8 * kPageSize;  // in the second half of RAM
constexpr uint64_t kLinear = 0xffff'8000'0000'0000;
constexpr uint64_t kMapped = 8;  // pages there: the tables are among them

class Bench {
  public:
    explicit Bench(FuzzInput& input) : input_(input) {
        for (uint64_t page = 0; page < kMapped; ++page)
            maker_.map(kLinear + page * kPageSize, (page * 2 + 1) * kPageSize, kForRing3);
        sregs_.gdt = {.base = kLinear, .limit = 0xff, .padding = {}};
        sregs_.ldt.base = kLinear + 0x100;
        sregs_.ldt.limit = 0xff;
        sregs_.idt = {.base = kLinear + 0x200, .limit = 0xfff, .padding = {}};
        sregs_.cs.selector = 0x10;
    }

    void step() {
        switch (input_.byte() % 8) {
            case 0:
            case 1:
                return change_ram();
            case 2:
                return change_registers();
            case 3:
                return walk();
            case 4:
                return write();
            case 5: {
                Bytes into(input_.byte());
                static_cast<void>(tables().read(linear(), into, access(), requester()));
                return;
            }
            case 6:
                static_cast<void>(handler_of(tables(), sregs_.idt, input_.byte()));
                return;
            default:
                return undo_exception();
        }
    }

  private:
    GuestPageTables tables() const { return {physical_, mode_}; }
    uint64_t linear() {
        const uint8_t choice = input_.byte();
        if ((choice & 0x80) != 0) return input_.number(8);
        return kLinear + (choice % (kMapped + 1)) * kPageSize + input_.number(2) % kPageSize;
    }
    Access access() {
        constexpr Access kAll[] = {Access::Read, Access::Write, Access::Execute};
        return kAll[input_.byte() % 3];
    }
    Requester requester() {
        const uint8_t choice = input_.byte();
        return {.cpl = static_cast<uint8_t>((choice & 1) != 0 ? 3 : 0), .ac = (choice & 2) != 0};
    }
    Bytes ram() const {
        Bytes all(kRamSize);
        ram_->read_bytes(memory::GuestAddress(0), all).value();
        return all;
    }

    void change_ram() {
        const uint64_t at = input_.number(2) % kRamSize;
        const ByteView bytes = input_.take(std::min<uint64_t>(input_.byte() % 41, kRamSize - at));
        ram_->write_bytes(memory::GuestAddress(at), bytes).value();
    }
    void change_registers() {
        const uint8_t flags = input_.byte();
        mode_ = {.cr3 = kTables,
                 .write_protect = (flags & 1) != 0,
                 .no_execute = (flags & 2) != 0,
                 .smep = (flags & 4) != 0,
                 .smap = (flags & 8) != 0};
        if ((flags & 0x10) != 0) mode_.cr3 = input_.number(8);
        if ((flags & 0x20) != 0) sregs_.gdt.base = linear();
        if ((flags & 0x40) != 0) sregs_.idt.base = linear();
        if ((flags & 0x80) != 0) sregs_.cs.selector = static_cast<uint16_t>(input_.number(2));
    }
    void walk() {
        const uint64_t at = linear();
        const Access wanted = access();
        const Requester who = requester();
        const Bytes before = ram();
        const auto found = tables().walk(at, wanted, who);
        require_marks_only(before, ram());
        if (!found) return;
        require((*found).accessed && (wanted != Access::Write || (*found).dirty));
        require((*found).address.value() % kPageSize == at % kPageSize);
        require(who.cpl == 0 || (*found).user);
        require(who.cpl == 0 || wanted != Access::Write || (*found).writable);
        require(wanted != Access::Execute || (*found).executable);
        const auto seen = tables().look(at);
        require(seen && seen->address == (*found).address);
    }
    void write() {
        const uint64_t at = linear();
        const Bytes bytes = to_bytes(input_.take(input_.byte()));
        const Requester who = requester();
        const Bytes before = ram();
        const auto first = tables().look(at);
        if (!tables().write(at, bytes, who)) return require_marks_only(before, ram());
        const uint64_t part = std::min<uint64_t>(bytes.size(), kPageSize - at % kPageSize);
        if (part < bytes.size() || !first || first->address.value() + part > kRamSize) return;
        const Bytes after = ram();
        require(std::equal(bytes.begin(), bytes.end(),
                           after.begin() + static_cast<ptrdiff_t>(first->address.value())));
    }
    void undo_exception() {
        const auto frame = read_frame(tables(), linear());
        if (!frame) return;
        const auto undone = unwind(tables(), sregs_, *frame);
        if (!undone || static_cast<uint16_t>(frame->cs) == sregs_.cs.selector) return;
        require(undone->cs.present != 0 && undone->cs.s != 0 && undone->cs.dpl == frame->cpl());
        require(undone->ss.unusable != 0 ? frame->cpl() != 3 : undone->ss.dpl == frame->cpl());
    }
    static void require_marks_only(const Bytes& before, const Bytes& after) {
        constexpr auto kMarks = static_cast<uint8_t>(paging::A | paging::D);
        for (size_t at = 0; at < kRamSize; at += 64) {
            if (std::memcmp(&before[at], &after[at], 64) == 0) continue;
            for (size_t i = at; i < at + 64; ++i) {
                const uint8_t allowed = i % 8 == 0 ? kMarks : uint8_t{0};
                require((before[i] & ~allowed) == (after[i] & ~allowed));
            }
        }
    }

    FuzzInput& input_;
    std::shared_ptr<memory::GuestMemory> ram_ =
        memory::GuestMemory::create_anonymous({memory::GuestAddress(0), kRamSize}).value();
    GuestPhysical physical_{ram_};
    TableMaker maker_{*ram_, kTables};
    PagingMode mode_{.cr3 = kTables};
    kvm_sregs sregs_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input({data, size});
    Bench bench(input);
    for (int steps = 0; !input.is_empty() && steps < 256; ++steps)
        bench.step();
    return 0;
}
