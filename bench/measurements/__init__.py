# SPDX-License-Identifier: Apache-2.0
"""All benches, in the order in which they are run. A new one is a module with a BENCH, and a line here."""
from . import (attest_rate_inside_vs_openssl, attest_rate_vs_openssl, boot_vs_qemu_microvm, eif_measure_vs_openssl,
               launch_vs_read_and_hash, vmm_private_mib, vsock_vs_vhost)

BENCHES = {module.BENCH.name: module.BENCH for module in (
    boot_vs_qemu_microvm,
    vmm_private_mib,
    eif_measure_vs_openssl,
    launch_vs_read_and_hash,
    vsock_vs_vhost,
    attest_rate_vs_openssl,
    attest_rate_inside_vs_openssl,
)}
