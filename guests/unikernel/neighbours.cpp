// SPDX-License-Identifier: Apache-2.0
//
// With `neighbours`: two enclaves of one image, the second one open to debuggers. A kernel that shows one the
// other's pages; debug leaves; a report from one to the other, and keys. Each line is compared by a test.
#include "sgx/spec_enclave.hpp"
#include "sgx/spec_report.hpp"
#include "unikernel/unikernel.hpp"

namespace sgx = alcove::sgx;
using alcove::sgx::Encls;
using alcove::sgx::kPageSize;

namespace {

constexpr uint64_t kHole = 9;             // a linear page that nothing was added to
constexpr uint64_t kOwn = 1 + kDataPage;  // EPC pages with data
constexpr uint64_t kOther = kEpcPages + kOwn;
constexpr uint64_t kPresent = 7;  // writable, for ring 3
constexpr uint64_t kNeighboursData = kNeighbour + kDataPage * kPageSize;

void show(const char* name, uint64_t page, uint64_t physical) {
    uint64_t* entry = enclave_entry(page);
    const uint64_t right = *entry;
    *entry = physical | kPresent;
    report_inside(name, kLoad, kEnclave + page * kPageSize);
    *entry = right;
}

void try_mappings() {
    enter_at(kNeighbour, kAdd, 77);
    report_inside("load neighbour", kLoad, kNeighboursData);
    report_inside("store neighbour", kStore, kNeighboursData);
    report_inside("jump to neighbour", kJump, kNeighbour + 3 * kPageSize);
    show("neighbour's page", kHole, epc_address(kOther));
    show("neighbour's page at its place", kDataPage, epc_address(kOther));
    show("own page twice", kHole, epc_address(kOwn));
    show("own secs", kHole, epc_address(0));
    show("device", kHole, 0xd000'0000);
    show("nothing", kHole, uint64_t{1} << 38);
    line("sum", enter(kSum));
    line("neighbour's sum", enter_at(kNeighbour, kSum));
}

void try_debug_leaves() {
    const uint64_t own = epc_page(kOwn);
    const uint64_t other = epc_page(kOther);
    line("edbgrd", encls(leaf(Encls::EDBGRD), 0, own, 0));
    line("edbgwr", encls(leaf(Encls::EDBGWR), 1, own, 0));
    line("edbgrd of debug", encls(leaf(Encls::EDBGRD), 0, other, 0));
    line("it read", encls_rbx);
    line("edbgwr of debug", encls(leaf(Encls::EDBGWR), 99, other, 0));
    line("neighbour's sum", enter_at(kNeighbour, kSum));
    line("sum", enter(kSum));
}

// With TCS.FLAGS.DBGOPTIN, which the kernel sets for who is open to it.
void try_debug_opt_in() {
    constexpr uint64_t kInt3 = 18, kPopfOfTf = 40;  // of enclave.S, `instructions`
    constexpr uint64_t kTf = 0x100;
    constexpr uint64_t kFlags = offsetof(sgx::TCS, FLAGS);
    line("opt-in", encls(leaf(Encls::EDBGWR), sgx::TCS::DBGOPTIN, epc_page(kEpcPages + 1) + kFlags, 0));
    report_inside("debugged int3", kRun, kInt3, kNeighbour);
    report_inside("debugged popf of tf", kRun, kPopfOfTf, kNeighbour);
    const uint64_t usual = user_rflags;
    user_rflags = usual | kTf;
    enter_at(kNeighbour, kNothing);
    user_rflags = usual;
    report("debugged step", 0);
    report("it resumes", resume(kNeighbour));
    report_inside("debugged in the end", kSum, 0, kNeighbour);
}

ReportIo report_io;
KeyIo key_io;

void report_to_neighbour() {
    report_io.ask();
    enter_at(kNeighbour, kReport, address(&report_io));
    print_words("report", &report_io.report, sizeof report_io.report);
    print_words("mrenclave", &enclave_sigstruct.ENCLAVEHASH, sizeof enclave_sigstruct.ENCLAVEHASH);
    print_key("report key", kEnclave, sgx::KeyName::REPORT_KEY, 0);
    print_key("neighbour's report key", kNeighbour, sgx::KeyName::REPORT_KEY, 0);
}

void seal() {
    using sgx::keypolicy::MRENCLAVE;
    print_key("seal key", kEnclave, sgx::KeyName::SEAL_KEY, MRENCLAVE);
    print_key("neighbour's seal key", kNeighbour, sgx::KeyName::SEAL_KEY, MRENCLAVE);
    print_key("provision key", kEnclave, sgx::KeyName::PROVISION_KEY, 0);
    build();
    print_key("seal key again", kEnclave, sgx::KeyName::SEAL_KEY, MRENCLAVE);
}

}  // namespace

void print_words(const char* name, const volatile void* from, uint64_t bytes) {
    print_text(name);
    for (uint64_t i = 0; i < bytes / 8; ++i) {
        print_text(" ");
        print_number(static_cast<const volatile uint64_t*>(from)[i]);
    }
    print_text("\n");
}

void print_key(const char* name, uint64_t tcs, sgx::KeyName key, uint16_t policy) {
    key_io.ask(key, policy, report_io.report.KEYID);
    const uint64_t status = enter_at(tcs, kGetKey, address(&key_io));
    if (status != 0 || was_exception()) return line(name, status);
    print_words(name, key_io.key, sizeof key_io.key);
}

void show_sealing_key() {
    print_key("seal key", kEnclave, sgx::KeyName::SEAL_KEY, sgx::keypolicy::MRENCLAVE);
}

void run_neighbours() {
    line("neighbour", build_neighbour());
    try_mappings();
    try_debug_leaves();
    try_debug_opt_in();
    report_to_neighbour();
    seal();
}
