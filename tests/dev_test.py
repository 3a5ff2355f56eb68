#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tools/dev says on a machine that lacks something: one clear line, and failure.

Each test runs a copy of tools/dev in a folder of its own, with a PATH of only the programs that it may find. The
lack of a network is apt-get's own: it is sent to a mirror that does not answer."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

DEV = pathlib.Path(__file__).resolve().parents[1] / "tools/dev"
# What tools/dev needs of any Debian before it has installed something.
PROGRAMS = ("apt-cache", "apt-get", "awk", "bash", "cut", "df", "dirname", "env", "grep", "id", "mkdir", "rm", "sha256sum", "touch")


class DevTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="alcove-dev-test.")))
        self.programs = self.folder / "programs"
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name))
        (self.folder / "tools").mkdir()
        shutil.copy(DEV, self.folder / "tools/dev")
        shutil.copy(DEV.parents[1] / "CMakePresets.json", self.folder)
        self.fake("id", "echo 0")

    def fake(self, name, script):
        program = self.programs / name
        program.unlink(missing_ok=True)
        program.write_text(f"#!{shutil.which('sh')}\n{script}\n")
        program.chmod(0o755)

    def apt_without_network(self):
        """apt-get's configuration: one mirror, at a port where nobody listens; and its files in our folder."""
        state = self.folder / "apt"
        (state / "lists/partial").mkdir(parents=True)
        (state / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian bookworm main\n")
        configuration = state / "apt.conf"
        configuration.write_text(f"""
            Dir::Etc::sourcelist "{state}/sources.list";
            Dir::Etc::sourceparts "/dev/null";
            Dir::State::lists "{state}/lists";
            Dir::Cache::pkgcache "";
            Dir::Cache::srcpkgcache "";
            Acquire::Retries "0";
            Acquire::http::Proxy "DIRECT";
            APT::Sandbox::User "";
            APT::Update::Pre-Invoke {{}};
        """)
        return {"APT_CONFIG": str(configuration)}

    def one_line_of(self, *arguments, **environment):
        result = subprocess.run([self.folder / "tools/dev", *arguments], capture_output=True, text=True, timeout=300,
                                env={"PATH": str(self.programs), "TMPDIR": str(self.folder), **environment})
        self.assertEqual(result.returncode, 1, result)
        lines = [line for line in (result.stdout + result.stderr).splitlines() if not line.startswith("\033[1m== ")]
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def test_a_missing_network(self):
        for command in ("setup", "test", "demo", "fmt"):
            with self.subTest(command):
                shutil.rmtree(self.folder / "apt", ignore_errors=True)
                self.assertIn("is the network there?", self.one_line_of(command, **self.apt_without_network()))

    def test_a_missing_root_right(self):
        self.fake("id", "echo 1000")
        self.assertIn("needs root: run this as root, or install sudo", self.one_line_of("setup"))

    def test_a_user_whom_sudo_refuses(self):
        self.fake("id", "echo 1000")
        self.fake("sudo", "exit 1")
        self.assertIn("sudo refuses it to you", self.one_line_of("setup"))

    def test_a_full_disk(self):
        self.fake("df", "echo header; echo '/dev/disk 1 2 17 0% /'")
        self.assertIn("only 17 MiB are free", self.one_line_of("setup"))

    def test_a_full_disk_is_seen_by_builds_after_setup_too(self):
        dev = self.folder / "tools/dev"
        dev.write_text(dev.read_text().replace("\nsetup() {\n", "\nsetup() {\n    return\n"))
        self.fake("df", "echo header; echo '/dev/disk 1 2 17 0% /'")
        self.assertIn("only 17 MiB are free", self.one_line_of("build", "debug"))


if __name__ == "__main__":
    unittest.main()
