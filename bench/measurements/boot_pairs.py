# SPDX-License-Identifier: Apache-2.0
"""exec to init of Debian's kernel, ours and another machine's in turns, inside a throw-away host."""
from .bench import pair
from .initramfs import pack_initramfs
from .throwaway_host import Payload, run_inside

INIT = """#!/bin/busybox sh
echo 'init: up'
/bin/busybox sleep 1000
"""

SCRIPT = r"""
until_init() { /run/payload/time_until 'init: up' "$@"; }

for i in $(seq "$1"); do
    ours=$(until_init /run/payload/boot_machine kernel initrd "$line" $machine) || exit 1
    theirs=$(until_init $qemu -kernel kernel -initrd initrd -append "$line") || exit 1
    echo "pair $ours $theirs"
done
"""


def measure_boots(setup, add_qemu, settings):
    """`settings` is shell: `line` is the command line of both, `qemu` QEMU's words, `machine` those of boot_machine
    behind the command line. It may make files that they name."""
    payload = Payload(setup)
    pack_initramfs(setup, INIT, payload.folder / "initrd")
    payload.add(next((setup.kernel_root / "boot").glob("vmlinuz-*")), "kernel")
    payload.add_program(setup.build / "bench/boot_machine")
    payload.add_program(setup.build / "bench/time_until")
    add_qemu(payload)
    script = "cp /run/payload/kernel /run/payload/initrd /tmp/ && cd /tmp || exit 1\n" + settings + SCRIPT
    found = run_inside(setup, payload, script, setup.pairs + 1).numbers("pair")
    return [pair(ours, theirs, unit="ms") for ours, theirs in found[1:]]  # the first warms the caches
