// SPDX-License-Identifier: Apache-2.0
//
// With `configuration`: what a VM's SGX is told to have, and what it does then: the launch key's hash, the
// two generations of leaves, the key for provisioning. Each line is compared by a test.
#include "sgx/spec_cpuid.hpp"
#include "sgx/spec_enclave.hpp"
#include "sgx/spec_report.hpp"
#include "unikernel/unikernel.hpp"

namespace sgx = alcove::sgx;
using alcove::sgx::Encls;

namespace {

uint64_t read_msr(uint64_t index) {
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(static_cast<uint32_t>(index)));
    return uint64_t{high} << 32 | low;
}
uint64_t write_hash(uint64_t word) {
    wrmsr(sgx::msr::IA32_SGXLEPUBKEYHASH0, word);
    return 0;
}

void show_registers() {
    line("launch control", cpuid(sgx::cpuid::kStructuredFeatures, 0).ecx & sgx::cpuid::SGX_LC);
    line("generations", cpuid(sgx::cpuid::kSgxLeaf, 0).eax);
    report("feature control", provoke(read_msr, sgx::msr::IA32_FEATURE_CONTROL));
    report("hash", provoke(read_msr, sgx::msr::IA32_SGXLEPUBKEYHASH0));
    report("write of hash", provoke(write_hash, enclave_mrsigner[0]));
    print_words("signer", enclave_mrsigner, sizeof enclave_mrsigner);
}

// Of the second generation.
void show_later_leaves() {
    line("eaug", encls(leaf(Encls::EAUG), 0, epc_page(kEpcPages), 0));
    line("emodpr", encls(leaf(Encls::EMODPR), 0, epc_page(kEpcPages), 0));
    line("emodt", encls(leaf(Encls::EMODT), 0, epc_page(kEpcPages), 0));
    const uint64_t page[2] = {kEnclave + kHeap, 1};
    report_inside("eaccept", kAccept, address(page));
}

}  // namespace

void show_configuration() {
    show_registers();
    line("eremove", encls(leaf(Encls::EREMOVE), 0, epc_page(0), 0));
    uint64_t failed = build_first(sgx::attributes::PROVISIONKEY);
    line("for provisioning", failed);
    if (failed != 0) {
        failed = build_first(0);
        line("built", failed);
    }
    report("sum", enter(kAdd, 42));
    if (failed != 0) return;
    print_key("provision key", kEnclave, sgx::KeyName::PROVISION_KEY, 0);
    print_key("seal key", kEnclave, sgx::KeyName::SEAL_KEY, sgx::keypolicy::MRENCLAVE);
    show_later_leaves();
}
