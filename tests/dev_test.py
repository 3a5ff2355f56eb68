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

    def apt_that_downloads_nothing(self):
        """Packages are known and installed; the network is lost after that."""
        self.fake("apt-get", 'case "$*" in *download*) echo "E: Failed to fetch"; echo "E: Some files" >&2; exit 100 ;; esac')
        self.fake("apt-cache", 'case "$1" in policy) echo bookworm-backports ;; *) echo "  Depends: linux-image-6.12.1-cloud-amd64" ;; esac')

    def done(self, *parts):
        for part in parts:
            (self.folder / "build/deps" / part).mkdir(parents=True)
            (self.folder / "build/deps" / part / ".complete").touch()

    def without(self, *functions):
        """These of tools/dev do nothing."""
        dev = self.folder / "tools/dev"
        for function in functions:
            text = dev.read_text()
            self.assertIn(f"\n{function}() {{\n", text)
            dev.write_text(text.replace(f"\n{function}() {{\n", f"\n{function}() {{\n    return\n"))

    def dev(self, *arguments, **environment):
        return subprocess.run([self.folder / "tools/dev", *arguments], capture_output=True, text=True, timeout=300,
                              env={"PATH": str(self.programs), "TMPDIR": str(self.folder), **environment})

    def one_line_of(self, *arguments, **environment):
        result = self.dev(*arguments, **environment)
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

    def test_a_full_disk_is_seen_by_builds_and_tests_after_setup_too(self):
        self.without("setup")
        self.fake("df", "echo header; echo '/dev/disk 1 2 17 0% /'")
        self.assertIn("only 17 MiB are free", self.one_line_of("build", "debug"))
        self.without("check_sources", "build_preset", "unit_tests", "run_fuzzers")
        self.fake("python3", "exit 0")
        self.assertIn("only 17 MiB are free", self.one_line_of("test"))

    def test_a_network_that_is_lost_on_the_way(self):
        self.apt_that_downloads_nothing()
        for lacking, there in (("linux-image-6.12.1-cloud-amd64", ()), ("linux-source-6.12", ("kernel",))):
            with self.subTest(lacking):
                self.done(*there)
                line = self.one_line_of("setup")
                self.assertIn(f"downloading {lacking} failed: is the network there?", line)
                self.assertIn("E: Failed to fetch\nE: Some files\n", (self.folder / "build/deps/setup.log").read_text())

    def test_a_second_setup_asks_for_nothing(self):
        self.apt_that_downloads_nothing()
        self.done("kernel", "selftests")
        for program in ("qemu-system-x86_64", "cmake", "ninja", "clang-format"):
            self.fake(program, "exit 0")
        self.assertEqual(self.dev("setup").returncode, 0)
        called = self.folder / "called"
        self.fake("id", "echo 1000")
        for program in ("apt-get", "sudo"):
            self.fake(program, f"echo {program} >> {called}")

        self.assertEqual(self.dev("setup").returncode, 0)

        self.assertFalse(called.exists())
        # It would have been seen.
        (self.folder / "build/deps/kernel/.complete").unlink()
        self.dev("setup")
        self.assertIn("sudo", called.read_text().split())


if __name__ == "__main__":
    unittest.main()
