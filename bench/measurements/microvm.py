# SPDX-License-Identifier: Apache-2.0
"""QEMU's microvm inside a throw-away host: the baseline of what a machine does. Its memory is what QEMU takes by
itself, anonymous memory; the host's kernel backs that with 2 MiB pages where it can, as it does our memfds (the
embedded host's init sets shmem_enabled)."""

# Without kernel, initrd, command line and the object of its memory.
QEMU = ("/run/payload/qemu-system-x86_64 -L /run/payload/firmware -accel kvm -cpu host "
        "-M microvm,acpi=on,pit=off,pic=off,rtc=off,isa-serial=on -nodefaults -no-user-config -display none "
        "-m 512 -no-reboot")


def add_qemu(payload):
    payload.add_qemu(["bios-microvm.bin", "linuxboot_dma.bin", "pvh.bin"])
