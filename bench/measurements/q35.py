# SPDX-License-Identifier: Apache-2.0
"""QEMU's q35 inside a throw-away host: the baseline of what a primary VM does. The kernel is handed to it, so its own
firmware (SeaBIOS) runs only as long as it takes to hand that on."""

# Without vCPUs, kernel, initrd and command line. The disk is a raw file called `disk`.
QEMU = ("/run/payload/qemu-system-x86_64 -L /run/payload/firmware -accel kvm -cpu host -M q35 -nodefaults "
        "-no-user-config -display none -m 512 -no-reboot -device virtio-rng-pci "
        "-drive file=disk,if=none,format=raw,id=disk -device virtio-blk-pci,drive=disk,serial=bench")


def add_qemu(payload):
    payload.add_qemu(["bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin"])
