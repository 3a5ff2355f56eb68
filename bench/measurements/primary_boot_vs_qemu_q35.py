# SPDX-License-Identifier: Apache-2.0
"""exec to init of Debian's kernel as a primary VM of two vCPUs with a disk, against QEMU's q35 with the same kernel,
ramdisk, command line, disk and vCPUs, both on the embedded host's KVM. All our memory is taken while the guest begins,
as in a launch; QEMU takes its own as the guest goes, which is to its advantage."""
from .bench import Bench
from .boot_pairs import measure_boots
from .q35 import QEMU, add_qemu

SETTINGS = f"""
qemu="{QEMU} -smp 2 -serial stdio"
machine='2 512 disk'
line='reboot=k panic=30 console=ttyS0 quiet'
truncate -s 64M disk || exit 1
"""


def measure(setup):
    return measure_boots(setup, add_qemu, SETTINGS)


BENCH = Bench("primary_boot_vs_qemu_q35", measure, at_most=0.6)
