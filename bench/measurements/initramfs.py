# SPDX-License-Identifier: Apache-2.0
"""Ramdisks whose init is a shell script: both sides of a comparison can boot the same."""
import shutil
import subprocess

from .bench import BenchError


def pack_initramfs(setup, script, output):
    folder = setup.work / "initramfs"
    (folder / "bin").mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BenchError("busybox is not installed")
    shutil.copy(busybox, folder / "bin")
    (folder / "init").write_text(script)
    (folder / "init").chmod(0o755)
    with open(output, "wb") as target:
        subprocess.run("find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0", shell=True, check=True, cwd=folder, stdout=target)
