# SPDX-License-Identifier: Apache-2.0
"""A primary VM's guest and its enclave's, joined by the fabric, against one hop of vhost-vsock between the host and a
guest under QEMU's microvm: the same kernel, ramdisk and command line (but that a primary VM has PCI), the same probe at
one end and the same program at the other, one vCPU and 512 MiB of memfd pages each. The guests are joined as the VMMs
of a primary VM and its enclave are (`bench/fabric_pair`); the packets take no other way there.

Each end has one CPU of the host for all that it does: a guest its vCPU, its VMM or vhost's thread; the host's program
another. So both sides have two. They are measured one after the other in each pair; the one that is not measured does
not run. That makes a boot of each for every pair, and the first transfer of every boot warms up and does not count."""
import subprocess

from .bench import BenchError
from .microvm import QEMU, add_qemu
from .throwaway_host import Payload, run_inside

SMP = "3,sockets=1,cores=3,threads=1"
COMMAND_LINE = "reboot=k panic=30 console=ttyS0 quiet"
MODULES = ("drivers/virtio/virtio_mmio", "net/vmw_vsock/vsock", "net/vmw_vsock/vmw_vsock_virtio_transport_common",
           "net/vmw_vsock/vmw_vsock_virtio_transport")

SCRIPT = f"""
mib=$2
cp /run/payload/kernel /run/payload/initrd /tmp/
siblings() {{
    /run/payload/fabric_pair /tmp/kernel /tmp/initrd "{COMMAND_LINE}" "client=2 mib=$mib" 1 2 > /run/pair.log 2>&1 \\
        || {{ cat /run/pair.log >&2; exit 1; }}
    tr -d '\\r' < /run/pair.log | grep -E '^(to-guest|from-guest|round-trip) ' | tail -n 3 | sed 's/^/ours-/'
}}
one_hop() {{
    taskset -c 2 {QEMU} -smp 1 -serial file:/run/qemu-console -machine memory-backend=ram \\
        -object memory-backend-memfd,id=ram,size=512M,share=on,prealloc=on -global virtio-mmio.force-legacy=false \\
        -device vhost-vsock-device,guest-cid=42 -kernel /tmp/kernel -initrd /tmp/initrd -append "{COMMAND_LINE} pci=off" \\
        > /run/qemu.log 2>&1 &
    qemu=$!
    for i in 1 2; do
        for direction in to-guest from-guest; do
            echo "theirs-$direction $(taskset -c 1 /run/payload/stream_rate cid:42 6000 $direction "$mib")"
        done
        echo "theirs-round-trip $(taskset -c 1 /run/payload/stream_rate cid:42 6000 round-trip 200)"
    done > /run/hop.log
    kill $qemu
    wait $qemu || true
    tail -n 3 /run/hop.log
}}
""" + r"""
for i in $(seq "$1"); do
    siblings
    one_hop
done
"""


def _pack(setup, here):
    folder = setup.work / "fabric"
    for name in ("bin", "dev", "proc", "modules"):
        (folder / name).mkdir(parents=True)
    for program in ("/bin/busybox", setup.build / "guests/probe", setup.build / "guests/stream_rate"):
        subprocess.run(["cp", program, folder / "bin"], check=True)
    for module in MODULES:
        source, = setup.kernel_root.glob(f"lib/modules/*/kernel/{module}.ko.xz")
        content = subprocess.run(["xz", "-dc", source], check=True, capture_output=True).stdout
        (folder / "modules" / source.name.removesuffix(".xz")).write_bytes(content)
    init = folder / "init"
    init.write_bytes((here / "tests/machine/fabric_init").read_bytes())
    init.chmod(0o755)
    target = setup.work / "fabric.cpio"
    with open(target, "wb") as output:
        subprocess.run("find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0", shell=True, check=True, cwd=folder,
                       stdout=output)
    return target


def measure_pairs(setup, here, mib=16):
    """For each pair, the three numbers of both sides: {"ours": {"to-guest": ...}, "theirs": {...}}."""
    payload = Payload(setup)
    add_qemu(payload)
    payload.add_program(setup.build / "bench/fabric_pair")
    payload.add_program(setup.build / "bench/stream_rate")
    payload.add(_pack(setup, here), "initrd")
    kernel, = (setup.kernel_root / "boot").glob("vmlinuz-*")
    payload.add(kernel, "kernel")
    lines = run_inside(setup, payload, SCRIPT, setup.pairs, mib, smp=SMP)
    pairs = [{"ours": {}, "theirs": {}} for _ in range(setup.pairs)]
    for side in ("ours", "theirs"):
        for what in ("to-guest", "from-guest", "round-trip"):
            numbers = lines.numbers(f"{side}-{what}")
            if len(numbers) != setup.pairs:
                raise BenchError(f"{len(numbers)} numbers of {side}, {what}")
            for pair, number in zip(pairs, numbers):
                pair[side][what] = number[0]
    return pairs
