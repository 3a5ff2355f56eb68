# SPDX-License-Identifier: Apache-2.0
"""All benches, in the order in which they are run. A new one is a module with a BENCH, and a line here."""
from . import (attest_rate_inside_vs_openssl, attest_rate_vs_openssl, boot_vs_qemu_microvm, carve_bystander_faults,
               carve_bytes_touched, carve_orders_in_exits, carve_roundtrip_vs_floor, carve_vs_floor, eif_measure_vs_openssl,
               launch_vs_read_and_hash, primary_boot_vs_qemu_q35, sgx_add_page_runs, sgx_aex_runs, sgx_compute_ratio,
               sgx_ecall_runs, sgx_half_ecall_vs_exit, sgx_leaf_vs_exit, sgx_oversubscribed_ratio,
               sibling_rtt_vs_one_hop, sibling_vs_one_hop,
               vmm_private_mib, vsock_vs_vhost)

BENCHES = {module.BENCH.name: module.BENCH for module in (
    boot_vs_qemu_microvm,
    primary_boot_vs_qemu_q35,
    vmm_private_mib,
    eif_measure_vs_openssl,
    launch_vs_read_and_hash,
    vsock_vs_vhost,
    sibling_vs_one_hop,
    sibling_rtt_vs_one_hop,
    attest_rate_vs_openssl,
    attest_rate_inside_vs_openssl,
    carve_bytes_touched,
    carve_vs_floor,
    carve_roundtrip_vs_floor,
    carve_bystander_faults,
    carve_orders_in_exits,
    sgx_ecall_runs,
    sgx_aex_runs,
    sgx_add_page_runs,
    sgx_leaf_vs_exit,
    sgx_half_ecall_vs_exit,
    sgx_compute_ratio,
    sgx_oversubscribed_ratio,
)}
