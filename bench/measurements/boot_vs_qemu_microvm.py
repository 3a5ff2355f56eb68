# SPDX-License-Identifier: Apache-2.0
"""exec to init of Debian's kernel, one vCPU, the same ramdisk, command line and kind of pages, against QEMU's microvm,
both on the embedded host's KVM. All our memory is taken while the guest begins, as in a launch; QEMU takes its own as
the guest goes, which is to its advantage."""
from .bench import Bench
from .boot_pairs import measure_boots
from .microvm import QEMU, add_qemu

SETTINGS = f"""
qemu="{QEMU} -smp 1 -serial stdio"
machine='1 512'
line='reboot=k panic=30 pci=off console=ttyS0 quiet'
"""


def measure(setup):
    return measure_boots(setup, add_qemu, SETTINGS)


BENCH = Bench("boot_vs_qemu_microvm", measure, at_most=0.6)
