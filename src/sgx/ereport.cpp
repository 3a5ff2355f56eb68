// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EREPORT": tells another enclave of this platform who one is, so that only it can check it.
#include "crypto/aes.hpp"
#include "crypto/secret.hpp"
#include "sgx/leaves.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

namespace {

REPORT report_of(const Enclave& enclave) {
    const SecsFields& secs = enclave.secs;
    REPORT report{};
    report.MISCSELECT = secs.MISCSELECT;
    report.ISVEXTPRODID = enclave.isvextprodid;
    report.ATTRIBUTES = secs.ATTRIBUTES;
    report.MRENCLAVE = secs.MRENCLAVE;
    report.MRSIGNER = secs.MRSIGNER;
    report.CONFIGID = secs.CONFIGID;
    report.ISVPRODID = secs.ISVPRODID;
    report.ISVSVN = secs.ISVSVN;
    report.CONFIGSVN = secs.CONFIGSVN;
    report.ISVFAMILYID = enclave.isvfamilyid;
    return report;
}

}  // namespace

Outcome<void> ereport(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, TARGETINFO::kAlignment)));
    const auto target = TRY_LEAF(call.read_enclave<TARGETINFO>(regs.rbx));
    TRY_LEAF(require(is_aligned(regs.rcx, REPORTDATA::kAlignment)));
    const auto data = TRY_LEAF(call.read_enclave<REPORTDATA>(regs.rcx));
    TRY_LEAF(require(is_aligned(regs.rdx, REPORT::kAlignment)));
    TRY_LEAF(call.require_in_enclave(regs.rdx));
    const auto output = TRY_LEAF(call.epc_page(regs.rdx, Access::Write));
    TRY_LEAF(call.check_direct(output, regs.rdx, Access::Write));
    TRY_LEAF(require(all_zero(target.RESERVED1, target.RESERVED2, target.RESERVED3)));

    auto report = call.epcm().with(
        [&](EpcmState& state) { return report_of(*state.enclave(call.inside().world.secs)); });
    report.CPUSVN = call.platform().cpusvn();
    report.REPORTDATA = data;
    report.KEYID = call.platform().report_keyid();
    Key128 key = report_key(call.platform(), target, report.KEYID);
    report.MAC = crypto::aes_cmac(key, {object_bytes(report).first(REPORT::kMaced)});
    crypto::cleanse(key);
    return call.write_enclave(output, regs.rdx, report);
}

}  // namespace alcove::sgx
