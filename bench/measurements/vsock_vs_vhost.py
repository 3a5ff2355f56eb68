# SPDX-License-Identifier: Apache-2.0
"""Host <-> enclave throughput over one stream in messages of 64 KiB, against vhost-vsock: the same kernel, the same
probe, one vCPU and 512 MiB of memfd pages under QEMU's microvm, on the same host at the same time; while one is
measured the other is idle. The value is that of the direction in which we do worse.

Each side has one CPU of the host for all that it does (vCPU, device, vhost's thread), and the program at the other end
has another. More would be more than a machine of two CPUs can emulate at once: an emulated CPU that waits for its turn
while it holds a lock stops those that want it, and the measurement shows that and nothing else.

Ours is the whole stack, reached through the VM's connect socket. QEMU's guest can not start with our init, because
vhost has no CID 3 to send the heartbeat to; a script takes its place that loads the same modules and runs the same
probe."""
from . import eif_sections
from .alcove_inside import add_alcove, build_probe_image
from .bench import Bench, BenchError, Sample
from .initramfs import pack_initramfs
from .microvm import QEMU, add_qemu
from .throwaway_host import Payload, run_inside

SMP = "3,sockets=1,cores=3,threads=1"
PROGRAM_CPU = 0
QEMU_CPU = 2  # CPU 1 is the one that is lent
MIB = 32  # a transfer

# Behind the ramdisks of the image, whose init it replaces.
INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
while read -r module options; do
    $b insmod "${module#-}" $options
done < /modules
exec $b chroot /rootfs /probe vsock
"""

SCRIPT = f"""
qemu="taskset -c {QEMU_CPU} {QEMU} -smp 1 -serial file:/run/qemu-console
    -machine memory-backend=ram -object memory-backend-memfd,id=ram,size=512M,share=on,prealloc=on -global virtio-mmio.force-legacy=false
    -device vhost-vsock-device,guest-cid=42"
rate() {{ taskset -c {PROGRAM_CPU} /run/payload/stream_rate "$1" 6000 "$2" {MIB} || die "$1, $2: no rate"; }}
""" + r"""
. /run/payload/alcove

cp /run/payload/kernel /run/payload/initrd /tmp/
$qemu -kernel /tmp/kernel -initrd /tmp/initrd -append "$(cat /run/payload/command-line)" > /run/qemu.log 2>&1 &
alcove enclave run /run/payload/image.eif --cpus 1 --memory 512M --name ours > /dev/null || die "the enclave does not run"
ours=$(alcove enclave inspect ours sockets.connect)
echo "lease $(json enclave inspect ours lease.cpus)"

if ! rate cid:42 to-guest > /dev/null; then
    cat /run/qemu.log /run/qemu-console >&2
    exit 1
fi
for i in $(seq "$1"); do
    for direction in to-guest from-guest; do
        a=$(rate "$ours" $direction) && b=$(rate cid:42 $direction) || exit 1
        echo "$direction $a $b"
    done
done
"""


def measure(setup):
    image = setup.work / "image.eif"
    build_probe_image(setup, image)
    payload = Payload(setup)
    add_alcove(payload, setup)
    add_qemu(payload)
    payload.add_program(setup.build / "bench/stream_rate")
    payload.add(image)

    content = image.read_bytes()
    kernel, = eif_sections.payloads(content, eif_sections.KERNEL)
    line, = eif_sections.payloads(content, eif_sections.COMMAND_LINE)
    payload.write("kernel", kernel)
    payload.write("command-line", line)
    overlay = setup.work / "overlay"
    pack_initramfs(setup, INIT, overlay)
    ramdisks = [*eif_sections.payloads(content, eif_sections.RAMDISK), overlay.read_bytes()]
    # An archive begins at a multiple of 4.
    payload.write("initrd", b"".join(ramdisk + bytes(-len(ramdisk) % 4) for ramdisk in ramdisks))

    lines = run_inside(setup, payload, SCRIPT, setup.pairs + 1, smp=SMP)
    lent = set(lines.json("lease")[0])
    if lent & {PROGRAM_CPU, QEMU_CPU}:
        raise BenchError(f"the enclave was lent the CPUs {lent}, which the baseline uses")
    samples = []
    for to_guest, from_guest in zip(lines.numbers("to-guest")[1:], lines.numbers("from-guest")[1:]):
        samples.append(Sample(min(to_guest[0] / to_guest[1], from_guest[0] / from_guest[1]),
                              {"unit": "MiB/s", "to_guest": {"ours": to_guest[0], "theirs": to_guest[1]},
                               "from_guest": {"ours": from_guest[0], "theirs": from_guest[1]}}))
    return samples


BENCH = Bench("vsock_vs_vhost", measure, at_least=1.0)
