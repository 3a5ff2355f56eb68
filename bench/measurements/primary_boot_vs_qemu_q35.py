# SPDX-License-Identifier: Apache-2.0
"""exec to init of Debian's kernel as a primary VM of two vCPUs with a disk, against QEMU's q35 with the same kernel,
ramdisk, command line, disk and vCPUs, both on the embedded host's KVM. All our memory is taken before the guest begins,
as in a launch; QEMU takes its own as the guest goes, which is to its advantage."""
from .bench import Bench, pair
from .boot_vs_qemu_microvm import INIT
from .initramfs import pack_initramfs
from .q35 import QEMU, add_qemu
from .throwaway_host import Payload, run_inside

SCRIPT = f"""
qemu="{QEMU} -smp 2 -serial stdio"
""" + r"""
cp /run/payload/kernel /run/payload/initrd /tmp/ && cd /tmp && truncate -s 64M disk || exit 1
line='reboot=k panic=30 console=ttyS0 quiet'
until_init() { /run/payload/time_until 'init: up' "$@"; }

for i in $(seq "$1"); do
    ours=$(until_init /run/payload/boot_machine kernel initrd "$line" 2 512 disk) || exit 1
    theirs=$(until_init $qemu -kernel kernel -initrd initrd -append "$line") || exit 1
    echo "pair $ours $theirs"
done
"""


def measure(setup):
    payload = Payload(setup)
    pack_initramfs(setup, INIT, payload.folder / "initrd")
    payload.add(next((setup.kernel_root / "boot").glob("vmlinuz-*")), "kernel")
    payload.add_program(setup.build / "bench/boot_machine")
    payload.add_program(setup.build / "bench/time_until")
    add_qemu(payload)
    found = run_inside(setup, payload, SCRIPT, setup.pairs + 1).numbers("pair")
    return [pair(ours, theirs, unit="ms") for ours, theirs in found[1:]]  # the first warms the caches


BENCH = Bench("primary_boot_vs_qemu_q35", measure, at_most=0.6)
