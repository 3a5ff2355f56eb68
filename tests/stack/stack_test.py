#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole stack, as a user drives it: `alcove`, the embedded host, the daemons in it, enclaves on its KVM.

    tests/stack/stack_test.py RELEASE_BUILD KERNEL_ROOT [unittest arguments]

Guests of a few instructions show the life of an enclave; one Debian enclave shows everything inside."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
KERNEL_ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
ALCOVE = BUILD / "bin/alcove"
GUESTS = BUILD / "guests"

EXIT_NOT_VERIFIED = 3


sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "guests/probe"))
import stream_check  # noqa: E402

BULK_BYTES = 100 << 20


class Refused(AssertionError):
    def __init__(self, arguments, result):
        self.exit_code = result.returncode
        self.text = result.stderr
        try:
            self.error = json.loads(result.stdout)["error"]
        except (ValueError, KeyError, TypeError):
            self.error = {"code": "", "message": result.stdout}
        super().__init__(f"alcove {' '.join(map(str, arguments))}: exit {self.exit_code}: {result.stdout}{result.stderr}")


def alcove(*arguments, timeout=120, **kwargs):
    """The JSON that a command prints; Refused when it fails."""
    result = subprocess.run([ALCOVE, "--json", *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **kwargs)
    if result.returncode != 0:
        raise Refused(arguments, result)
    return json.loads(result.stdout) if result.stdout.strip() else None


def inside(command):
    """What a shell command inside the embedded host prints."""
    result = subprocess.run([ALCOVE, "host", "shell", "--", "sh", "-c", command], capture_output=True, text=True, timeout=60)
    return result.stdout


# What stop and remove say of an enclave that ended or was never made.
GONE = ("E90", "E03")


class StackTest(unittest.TestCase):
    enclaves = 0

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="alcove-stack."))
        os.environ["ALCOVE_STATE_DIR"] = str(cls.folder / "state")
        os.environ["ALCOVE_KERNEL_ROOT"] = str(KERNEL_ROOT)
        os.environ["XDG_STATE_HOME"] = str(cls.folder)
        (cls.folder / "state").mkdir(mode=0o700)
        alcove("host", "start", timeout=180)

    @classmethod
    def tearDownClass(cls):
        try:
            alcove("host", "stop", timeout=60)
        finally:
            shutil.rmtree(cls.folder, ignore_errors=True)

    # --- what the tests below are made of ---

    def image(self, guest):
        """An image whose kernel is an assembly guest."""
        path = self.folder / f"{guest}.eif"
        if not path.exists():
            alcove("image", "build", "--kernel", GUESTS / f"{guest}.elf", "--modules", "none",
                   "--directory", self.application("none"), "--output", path, "--cmd", "/none")
        return path

    def application(self, name, size=0):
        """A folder with one executable file, which an assembly guest never looks at."""
        folder = self.folder / f"application-{name}"
        folder.mkdir(exist_ok=True)
        with open(folder / "none", "wb") as file:
            file.truncate(size)
        (folder / "none").chmod(0o755)
        return folder

    def run_enclave(self, image, *options, memory="64M", timeout=180):
        """Starts an enclave and gives its name; it is removed after the test."""
        type(self).enclaves += 1
        name = f"test-{self.enclaves}"
        self.addCleanup(self.remove, name)
        alcove("enclave", "run", "--image", image, "--cpus", 2, "--memory", memory, "--name", name, *options, timeout=timeout)
        return name

    def run_to_end(self, image, *options):
        """Runs a guest that ends of itself: how it ended. Whether `run` sees it alive or ended is a race."""
        try:
            name = self.run_enclave(image, "--no-wait", *options)
        except Refused as refused:
            self.assertEqual(refused.error["code"], "E93")
            name = f"test-{self.enclaves}"
        return self.end_of(name)

    def remove(self, name):
        for command in (("stop", name), ("remove", name)):
            try:
                alcove("enclave", *command)
            except Refused as refused:
                if refused.error["code"] not in GONE:
                    raise

    def end_of(self, name):
        """The enclave as it is once it has ended."""
        for _ in range(200):
            enclave = alcove("enclave", "inspect", name)["enclave"]
            if enclave["state"] in ("stopped", "failed"):
                return enclave
        self.fail(f"{name} does not end")

    def wait_for_port(self, name, port):
        """The heartbeat comes from the enclave's init; its program listens a moment later."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            tried = subprocess.run([ALCOVE, "--quiet", "enclave", "connect", name, str(port)], stdin=subprocess.DEVNULL,
                                   capture_output=True, timeout=60)
            if tried.returncode == 0:
                return
            time.sleep(0.2)
        self.fail(f"nothing listens on port {port} of {name}: {tried.stderr}")

    # --- the life of an enclave ---

    def test_each_way_to_end_is_recorded(self):
        ways = {"hello": "i8042_reset", "poweroff": "power_off", "reset_acpi": "acpi_reset", "triple_fault": "triple_fault"}
        for guest, reason in ways.items():
            with self.subTest(guest):
                self.assertEqual(self.run_to_end(self.image(guest))["reason"], reason)

    def test_a_guest_that_ends_before_its_heartbeat_is_said_to_have_died(self):
        with self.assertRaises(Refused) as refused:
            self.run_enclave(self.image("hello"))
        self.assertEqual(refused.exception.error["code"], "E93")

    def test_a_halted_guest_is_stopped_on_request(self):
        name = self.run_enclave(self.image("halt"), "--no-wait")
        alcove("enclave", "stop", name)
        self.assertEqual(self.end_of(name)["reason"], "host_request")

    def test_the_console_exists_in_debug_mode_only(self):
        secret = self.run_to_end(self.image("hello"))["name"]
        for command in ("console", "logs"):
            with self.assertRaises(Refused) as refused:
                alcove("enclave", command, secret)
            self.assertEqual(refused.exception.error["code"], "E91")

        debug = self.run_to_end(self.image("hello"), "--debug")["name"]
        console = subprocess.run([ALCOVE, "enclave", "logs", debug], capture_output=True, text=True, timeout=60)
        self.assertIn("hello from a guest", console.stdout)

    def test_a_tampered_image_does_not_run(self):
        good = self.image("hello").read_bytes()
        bad = self.folder / "tampered.eif"
        bad.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with self.assertRaises(Refused) as refused:
            self.run_enclave(bad)
        self.assertIn("E32", str(refused.exception))

    def test_too_little_memory_is_said_before_anything_runs(self):
        big = self.folder / "big.eif"
        alcove("image", "build", "--kernel", GUESTS / "hello.elf", "--modules", "none",
               "--directory", self.application("big", 100 << 20), "--output", big, "--cmd", "/none")
        with self.assertRaises(Refused) as refused:
            self.run_enclave(big)
        self.assertIn("E37", str(refused.exception))

    def test_many_runs_leave_nothing_behind(self):
        image = self.image("halt")

        def traces():
            count = "ls /proc/$(pidof {0})/fd | wc -l"
            return inside("; ".join([count.format("alcoved"), count.format("alcove-broker"), count.format("alcove-attestor"),
                                     "ls /run/alcove/vm | wc -l", "ls -d /sys/fs/cgroup/alcove/*/ 2>/dev/null | wc -l",
                                     "pidof alcove-shim alcove-vmm | wc -w"]))

        def cycle():
            enclave = alcove("enclave", "run", "--image", image, "--cpus", 2, "--memory", "64M", "--no-wait")["id"]
            alcove("enclave", "stop", enclave)
            alcove("enclave", "remove", enclave)

        for _ in range(3):
            cycle()
        before = traces()
        for _ in range(RUNS):
            cycle()
        self.assertEqual(traces(), before)
        self.assertEqual(alcove("enclave", "list")["enclaves"], [])

    # --- what a verifier gets ---

    def test_the_key_service_answers_with_a_document_that_verifies(self):
        application = self.folder / "key-service"
        application.mkdir()
        shutil.copy(GUESTS / "key_service", application)
        image = self.folder / "key-service.eif"
        alcove("image", "build", "--kernel", "debian", "--directory", application, "--output", image, "--cmd", "/key_service")
        name = self.run_enclave(image, memory="512M", timeout=240)

        self.wait_for_port(name, 5000)
        document = self.folder / "document.cbor"
        nonce = os.urandom(32).hex()
        with subprocess.Popen([ALCOVE, "enclave", "connect", name, "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as line:
            subprocess.run([GUESTS / "key_client", "--stdio", "challenge", "--nonce", nonce, "--out", document],
                           stdin=line.stdout, stdout=line.stdin, timeout=60, check=True)
            line.stdin.close()
        verify = ("attest", "verify", "--document", document, "--image", image, "--root-from-host")

        self.assertTrue(alcove(*verify, "--nonce", nonce, "--allow-development")["verified"])
        for options, code in ((("--nonce", nonce), "E78"), (("--nonce", "00", "--allow-development"), "E76"),
                              (("--nonce", nonce, "--allow-development", "--pcr", "3=" + "11" * 48), "E75")):
            with self.assertRaises(Refused) as refused:
                alcove(*verify, *options)
            self.assertEqual(refused.exception.exit_code, EXIT_NOT_VERIFIED)
            self.assertIn(code, str(refused.exception))

        state = alcove("enclave", "inspect", name)
        self.assertTrue(state["heartbeat"]["ready"])
        self.assertEqual(state["heartbeat"]["answered_by"], "alcove")
        self.assertEqual(state["counters"]["nsm_documents"]["total"], 1)
        self.assertEqual(state["counters"]["guest_mistakes"]["total"], 0)


    # --- everything inside, once ---

    def test_the_nsm_and_vsock_serve_a_probe_inside(self):
        application = self.folder / "probe"
        application.mkdir()
        shutil.copy(GUESTS / "probe", application)
        image = self.folder / "probe.eif"
        alcove("image", "build", "--kernel", "debian", "--directory", application, "--output", image, "--cmd", "/probe", "all")
        name = self.run_enclave(image, memory="512M", timeout=240)
        connect = stream_check.process_opener([str(ALCOVE), "enclave", "connect", name, "6000"])

        self.wait_for_port(name, 6000)
        stream_check.check_report(connect())
        stream_check.sink(connect(), BULK_BYTES)
        stream_check.source(connect(), BULK_BYTES)
        stream_check.parallel(connect, 8, 1 << 20)

        stream_check.end(connect(), "exit 7")
        ended = self.end_of(name)
        self.assertEqual(ended["reason"], "i8042_reset")
        self.assertEqual((ended["app_exit"]["kind"], ended["app_exit"]["value"]), ("exited", 7))


RUNS = int(os.environ.get("ALCOVE_STACK_RUNS", "30"))

if __name__ == "__main__":
    unittest.main(verbosity=2)
