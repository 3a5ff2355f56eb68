# SPDX-License-Identifier: Apache-2.0
"""Runs a script in an embedded host that is booted for it and gone afterwards, with real KVM and a quiet machine of
its own. What the script needs travels as a folder that it finds at /run/payload."""
import json
import pathlib
import shutil
import subprocess

from .bench import BenchError

RUN_ONCE = pathlib.Path(__file__).resolve().parents[2] / "testhost/run_once"


class Payload:
    """The folder. Programs bring their shared libraries along by themselves."""

    def __init__(self, setup):
        self.folder = setup.work / "payload"
        self.folder.mkdir()

    def add(self, source, name=None):
        """A file that is only read there, even if it is a program here: an assembly guest has no libraries."""
        shutil.copyfile(source, self._place(name or pathlib.Path(source).name))

    def add_program(self, source, name=None):
        """Without its debug information, which is most of it."""
        target = self._place(name or pathlib.Path(source).name)
        shutil.copy(source, target)
        subprocess.run(["strip", "--strip-unneeded", target], check=True)

    def add_installed(self, name):
        """A program of this machine's, by its name."""
        path = shutil.which(name)
        if path is None:
            raise BenchError(f"{name} is not installed")
        shutil.copy(path, self._place(name))

    def add_qemu(self, firmware):
        """QEMU, and what it loads for a machine, from wherever Debian's packages have put that."""
        self.add_installed("qemu-system-x86_64")
        for name in firmware:
            found = [path for folder in ("/usr/share/qemu", "/usr/share/seabios") if (path := pathlib.Path(folder) / name).is_file()]
            if not found:
                raise BenchError(f"QEMU's {name} is not installed")
            self.add(found[0], f"firmware/{name}")

    def _place(self, name):
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write(self, name, content):
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


class Lines:
    """What the script printed: lines of a word that says what it is, and the rest."""

    def __init__(self, text):
        self._lines = [line.partition(" ")[::2] for line in text.splitlines()]

    def __iter__(self):
        return iter(self._lines)

    def all(self, word):
        return [rest for first, rest in self._lines if first == word]

    def one(self, word):
        found = self.all(word)
        if len(found) != 1:
            raise BenchError(f"the script printed {len(found)} lines '{word}', not one")
        return found[0]

    def numbers(self, word):
        return [tuple(map(float, rest.split())) for rest in self.all(word)]

    def json(self, word):
        return [json.loads(rest) for rest in self.all(word)]


def run_inside(setup, payload, script, *arguments, smp=None, memory_mib=None, timeout=1500):
    """Runs `script` (sh) as root and gives what it printed; it must succeed."""
    payload.write("script", script)
    options = ["--kernel-root", setup.kernel_root, "--payload", payload.folder, "--timeout", str(timeout)]
    if smp is not None:
        options += ["--smp", smp]
    if memory_mib is not None:
        options += ["--memory", str(memory_mib)]
    result = subprocess.run([RUN_ONCE, *options, "--", "sh", "/run/payload/script", *map(str, arguments)],
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise BenchError(f"the script in the throw-away host ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return Lines(result.stdout)
