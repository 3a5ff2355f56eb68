#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole stack, as a user drives it: `alcove`, the embedded host, the daemons in it, enclaves on its KVM.

    tests/stack/stack_test.py RELEASE_BUILD KERNEL_ROOT [TEST...]

Guests of a few instructions show the life of an enclave; one Debian enclave shows everything inside."""
import concurrent.futures
import contextlib
import datetime
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import zlib

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
KERNEL_ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
ALCOVE = BUILD / "bin/alcove"
GUESTS = BUILD / "guests"
HERE = pathlib.Path(__file__).resolve().parent

EXIT_NOT_VERIFIED = 3

# A kernel that is not part of the repository.
NITRO_KERNEL = pathlib.Path(os.environ.get("ALCOVE_TEST_KERNELS", "/none")) / "bzImage-6.12-enclave"


sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "guests/probe"))
import stream_check  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src/attestation"), str(ROOT / "src/eif")]
from eif_vectors_test import measurements, parse_eif  # noqa: E402
from verify_with_python import certificates_of, verify_links, verify_signature  # noqa: E402

import key_search

BULK_BYTES = 100 << 20
STREAMS = 64


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


@contextlib.contextmanager
def emulator(folder):
    """The monitor of an embedded host's emulator: a function that executes a command, and one that waits for its end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
        monitor.settimeout(20)
        monitor.connect(str(folder / "qmp.sock"))
        with monitor.makefile("rw") as line:
            line.readline()

            def execute(command, **arguments):
                line.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                line.flush()
                while "return" not in (answer := json.loads(line.readline())) and "error" not in answer:  # events
                    pass
                return answer.get("return")

            def wait_for_end():
                with contextlib.suppress(TimeoutError):
                    while line.readline():
                        pass

            execute("qmp_capabilities")
            yield execute, wait_for_end


def interrupt_controllers(execute):
    """A processor that has something in service (ISR) while it is idle has lost an interrupt's end."""
    return "".join(str(execute("human-monitor-command", **{"command-line": f"info lapic {processor}"}))
                   for processor in range(8))


def last_words_of_a_silent_host(folder):
    """Makes the kernel of an embedded host that no longer answers panic (setUpClass told it to, on an NMI), and
    gives what it then said: where each of its processors was. Before it the interrupt controllers', of the emulator."""
    with emulator(folder) as (execute, wait_for_end):
        controllers = interrupt_controllers(execute)
        execute("inject-nmi")
        wait_for_end()
    return controllers + (folder / "console.log").read_text(errors="replace")[-200000:]


def what_a_slow_host_waits_for(folder):
    with emulator(folder) as (execute, _):
        return interrupt_controllers(execute) + inside(WAITS)


def outside_address():
    """This machine's address in the network that its default route leads to; nothing without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # no packet is sent
        except OSError:
            return None
        return probe.getsockname()[0]


def processes(pattern):
    """Numbers of the processes whose command line matches."""
    return set(subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split())


class Pages(http.server.BaseHTTPRequestHandler):
    """/page says hello; /endless goes on for as long as anybody reads."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from outside\n")
        with contextlib.suppress(OSError):
            while self.path == "/endless":
                self.wfile.write(bytes(65536))

    def log_message(self, *_):
        pass


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as a poller sees: a listing, and objects with entity tags. The server has `objects` and `log`."""

    def do_GET(self):
        bucket, _, key = self.path.removeprefix("/").partition("/")
        content = self.server.objects.get(key)
        tag = f'"{hashlib.md5(content or b"").hexdigest()}"'
        if bucket == "models?list-type=2":
            self.answer(200, b"<ListBucketResult>" + b"".join(f"<Contents><Key>{name}</Key></Contents>".encode()
                                                              for name in self.server.objects) + b"</ListBucketResult>")
        elif bucket != "models" or content is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.headers["If-None-Match"] == tag:
            self.answer(304, b"", tag)
        else:
            self.answer(200, content, tag)

    def answer(self, status, body, tag=None):
        self.server.log.append((status, self.path))
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def certificate_for(name, folder):
    """A certificate for a server, its own authority: the file with it, and the one with the key as well."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    certificate, both = folder / "ca.pem", folder / "server.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(certificate.read_bytes() + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate, both


@contextlib.contextmanager
def pages_at(address, handler=Pages, tls=None):
    """A server, for the time of a block."""
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        server.daemon_threads = True
        server.objects, server.log = {}, []
        server.url = f"http://{address}:{server.server_port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


# What stop and remove say of an enclave that ended or was never made.
GONE = ("E90", "E03")


class Report(unittest.TestResult):
    """A line for each test when it ends, and what failed when it fails, for a run that may not come to its end."""

    def __init__(self):
        super().__init__()
        self.begin = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.begin = time.monotonic()

    def say(self, word, test, more=""):
        print(f"{word:8}{time.monotonic() - self.begin:6.1f} s  {test.id().removeprefix('__main__.StackTest.')}{more}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say("SKIPPED", test, f": {reason}")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say("FAILED", test, "\n" + self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.say("ERROR", test, "\n" + self.errors[-1][1])

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.say("FAILED", subtest, "\n" + (self.failures + self.errors)[-1][1])


class StackTest(unittest.TestCase):
    enclaves = 0

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="alcove-stack."))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        os.environ["ALCOVE_STATE_DIR"] = str(cls.folder / "state")
        os.environ["ALCOVE_KERNEL_ROOT"] = str(KERNEL_ROOT)
        os.environ["XDG_STATE_HOME"] = str(cls.folder)
        (cls.folder / "state").mkdir(mode=0o700)
        cls.addClassCleanup(alcove, "host", "stop", timeout=60)
        alcove("host", "start", timeout=180)
        cls.prepare_host()

    @staticmethod
    def prepare_host():
        inside("echo 1 > /proc/sys/kernel/unknown_nmi_panic; echo 65 > /proc/sys/kernel/panic_print")

    def run(self, result=None):
        """Nothing after it can pass when a test left the host dead: its kernel's words are worth more than time-outs."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) == before:
            return
        host = self.folder / "state/host"
        try:
            if inside("echo alive") == "alive\n":
                if "E07" in (result.failures + result.errors)[-1][1]:
                    print("what the host waits for:", what_a_slow_host_waits_for(host), sep="\n", file=sys.stderr)
                return
        except subprocess.TimeoutExpired:
            pass
        print("the embedded host no longer answers", file=sys.stderr)
        for file in ("qemu.log", "bridge.log"):
            print(file, (host / file).read_text(errors="replace")[-2000:], sep=":\n", file=sys.stderr)
        try:
            print("its kernel:", last_words_of_a_silent_host(host), sep="\n", file=sys.stderr)
        except OSError as error:
            print(f"its kernel says nothing ({error})", file=sys.stderr)
        result.stop()

    # --- what the tests below are made of ---

    def image(self, guest, command_line=None):
        """An image whose kernel is an assembly guest."""
        path = self.folder / f"{guest}{'' if command_line is None else '-' + command_line}.eif"
        if not path.exists():
            options = [] if command_line is None else ["--cmdline", command_line]
            alcove("image", "build", "--kernel", GUESTS / f"{guest}.elf", "--modules", "none",
                   "--directory", self.application("none"), "--output", path, *options, "--cmd", "/none")
        return path

    def tampered_image(self):
        good = self.image("hello").read_bytes()
        bad = self.folder / "tampered.eif"
        bad.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        return bad

    def forged_image(self, name, old, new):
        """An image whose first `old` is `new`, and whose checksum is right."""
        data = self.image("hello", command_line="console=ttyS0").read_bytes()
        self.assertIn(old, data)
        self.assertEqual(len(old), len(new))
        data = data.replace(old, new, 1)
        checksum = zlib.crc32(data[548:], zlib.crc32(data[:544]))
        path = self.folder / f"{name}.eif"
        path.write_bytes(data[:544] + struct.pack(">I", checksum) + data[548:])
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
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
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

    @contextlib.contextmanager
    def listening(self, name, port, *options, **kwargs):
        """`alcove enclave listen` for the time of a block; what it did is in the block's `counts` afterwards."""
        with subprocess.Popen([ALCOVE, "--json", "enclave", "listen", name, str(port), *options], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listener:
            try:
                self.assertIn("listening on port", listener.stderr.readline())
                counts = {}
                yield counts
                listener.send_signal(signal.SIGTERM)
                output, errors = listener.communicate(timeout=60)
                self.assertEqual(listener.returncode, 0, errors)
                counts.update(json.loads(output))
            finally:
                listener.kill()

    def traces(self):
        """What enclaves leave behind in the host, if they do. A connection of a client's may still be closing."""
        count = "ls /proc/$(pidof {0})/fd | wc -l"
        settle = "now={0}; until [ $now = \"$before\" ]; do before=$now; sleep 0.1; now={0}; done".format(f"$({count.format('alcoved')})")
        return inside("; ".join([settle, "echo $now", count.format("alcove-broker"), count.format("alcove-attestor"),
                                 "ls /run/alcove/vm | wc -l", "ls -d /sys/fs/cgroup/alcove/*/ 2>/dev/null | wc -l",
                                 "pidof alcove-shim alcove-vmm | wc -w"]))

    def shared_memory_kib(self):
        """Memory files and tmpfs, of whoever: guest RAM that was not given back would be here."""
        return int(inside("grep '^Shmem:' /proc/meminfo").split()[1])

    def rows(self):
        """How many rows each table of alcoved's database has; its log of events is capped, and grows until then."""
        packed = subprocess.run([ALCOVE, "host", "shell", "--", "sh", "-c", "cd /var/lib/alcove/daemon && tar -c alcoved.db*"],
                                capture_output=True, timeout=120, check=True)
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
                archive.extractall(folder)
            with contextlib.closing(sqlite3.connect(pathlib.Path(folder) / "alcoved.db")) as database:
                tables = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                          if name not in ("events", "sqlite_sequence")]
                return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}

    def lent(self):
        """Who holds what of the host."""
        return alcove("host", "status")["resources"]["ledger"]

    def kill_inside(self, program):
        """kill -9, and until the next one has taken its place."""
        before = inside(f"pidof {program}").split()
        self.assertEqual(len(before), 1)
        inside(f"kill -9 {before[0]}")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            now = inside(f"pidof {program}").split()
            if now and now != before:
                return
            time.sleep(0.2)
        self.fail(f"{program} does not come back")

    def memory_of(self, program):
        """The private writable memory of a process inside: all that it computes with, guest memory left out."""
        script = ("pid=$(pidof %s); while read range mode rest; do [ $mode = rw-p ] || continue;"
                  " begin=$((0x${range%%-*} / 4096)); end=$((0x${range#*-} / 4096));"
                  " dd if=/proc/$pid/mem bs=4096 skip=$begin count=$((end - begin)) 2>/dev/null; done < /proc/$pid/maps | gzip -1")
        packed = subprocess.run([ALCOVE, "host", "shell", "--", "sh", "-c", script % program], capture_output=True, timeout=240)
        memory = gzip.decompress(packed.stdout)
        self.assertGreater(len(memory), 100_000, packed.stderr)
        return memory

    def debian_image(self, name, program, *command):
        """An image with Debian's kernel, and a program in it."""
        image = self.folder / f"{name}.eif"
        if not image.exists():
            application = self.folder / f"application-{name}"
            application.mkdir()
            shutil.copy(program, application)
            alcove("image", "build", "--kernel", "debian", "--directory", application, "--output", image, "--cmd", *command)
        return image

    def key_service_image(self):
        return self.debian_image("key-service", GUESTS / "key_service", "/key_service")

    def probe_image(self):
        return self.debian_image("probe", GUESTS / "probe", "/probe", "all")

    def challenge(self, name):
        """A document of the key service with a fresh nonce: the file and the nonce."""
        document = self.folder / "document.cbor"
        document.unlink(missing_ok=True)
        nonce = os.urandom(32).hex()
        with subprocess.Popen([ALCOVE, "enclave", "connect", name, "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as line:
            subprocess.run([GUESTS / "key_client", "--stdio", "challenge", "--nonce", nonce, "--out", document],
                           stdin=line.stdout, stdout=line.stdin, timeout=60, check=True)
            line.stdin.close()
        return document, nonce

    # --- the host ---

    def test_the_host_is_checked_with_a_guest(self):
        self.addCleanup(inside, f"echo 0 > {HUGE_PAGES}/nr_hugepages")
        inside(f"echo 3 > {HUGE_PAGES}/nr_hugepages")
        check = json.loads(inside("alcove --json host check --host local"))
        self.assertEqual([(node["huge_2m_total"], node["huge_2m_free"]) for node in check["memory"]["nodes"]], [(3, 3)])
        self.assertEqual(check["guest"]["ran"], "yes", check["guest"])
        self.assertGreater(check["guest"]["plain_exit_ns"], 0)
        self.assertGreater(check["guest"]["timed_loop_ns"], 0)
        self.assertEqual(check["kvm"]["second_view"], "yes")
        self.assertTrue(check["cores"]["smt"])
        self.assertEqual({len(cpus) for cpus in check["cores"]["siblings"]}, {2})
        self.assertTrue(check["vulnerabilities"])

    def test_what_a_host_keeps_outlives_it(self):
        """Its keys, its records: on its disk, whether it was shut down in order or not. Any command starts it again."""
        def known():
            enclaves = alcove("enclave", "list", timeout=180)["enclaves"]
            return alcove("attest", "root"), {one["name"]: (one["id"], one["state"], one["reason"]) for one in enclaves}

        def pull_the_plug():
            pid = alcove("host", "status")["embedded"]["pid"]
            os.kill(pid, signal.SIGKILL)
            while pathlib.Path(f"/proc/{pid}").exists():  # it gives its memory back first
                time.sleep(0.01)

        def pull_the_plug_twice():
            pull_the_plug()
            with subprocess.Popen([ALCOVE, "host", "start"], stderr=subprocess.PIPE, text=True) as start:
                while not alcove("host", "status")["embedded"]["running"]:
                    pass
                time.sleep(2)  # it boots
                pull_the_plug()
                _, words = start.communicate(timeout=180)
            self.assertEqual(start.returncode, 0, words)
            self.assertIn("it is started once more", words)

        self.run_to_end(self.image("hello"))
        root, enclaves = known()
        self.assertTrue(enclaves)
        for end in (lambda: alcove("host", "stop", timeout=60), pull_the_plug_twice):
            name = self.run_enclave(self.image("idle"), "--no-wait")
            end()
            root_now, enclaves_now = known()
            self.assertEqual(root_now, root)
            self.assertEqual(self.end_of(name)["state"], "stopped")
            del enclaves_now[name]
            self.assertEqual(enclaves_now, enclaves)
            self.remove(name)
        self.prepare_host()

    def test_huge_pages_are_lent_and_given_back(self):
        self.addCleanup(inside, f"echo 0 > {HUGE_PAGES}/nr_hugepages; kill $(pidof alcoved)")
        inside(f"echo 64 > {HUGE_PAGES}/nr_hugepages")
        self.kill_inside("alcoved")
        name = self.run_enclave(self.image("idle"), "--no-wait", "--pages", "2m")
        self.assertEqual(inside(f"cat {HUGE_PAGES}/free_hugepages").strip(), "32")
        alcove("enclave", "stop", name)
        self.assertEqual(inside(f"cat {HUGE_PAGES}/free_hugepages").strip(), "64")
        with self.nothing_stays(), self.assertRaises(Refused) as refused:
            self.run_enclave(self.image("idle"), "--no-wait", "--pages", "2m", memory="256M")
        self.assertEqual(refused.exception.error["code"], "E22")

    # --- the life of an enclave ---

    def test_each_way_to_end_is_recorded(self):
        ways = {"hello": "i8042_reset", "poweroff": "power_off", "reset_acpi": "acpi_reset", "triple_fault": "triple_fault",
                "halt": "halted"}
        for guest, reason in ways.items():
            with self.subTest(guest):
                self.assertEqual(self.run_to_end(self.image(guest))["reason"], reason)

    def test_a_guest_that_ends_before_its_heartbeat_is_said_to_have_died(self):
        with self.assertRaises(Refused) as refused:
            self.run_enclave(self.image("hello"))
        self.assertEqual(refused.exception.error["code"], "E93")

    def test_a_vmm_has_no_right_and_only_what_it_needs(self):
        name = self.run_enclave(self.image("idle"), "--no-wait")
        enclave = alcove("enclave", "inspect", name)
        process = f"/proc/{enclave['vmm']['pid']}"

        status = dict(line.split(":", 1) for line in inside(f"cat {process}/status").splitlines())

        self.assertTrue(all(int(uid) >= 60000 for uid in status["Uid"].split()), status["Uid"])
        self.assertTrue(all(int(gid) >= 60000 for gid in status["Gid"].split()), status["Gid"])
        self.assertEqual(status["Groups"].split(), [])
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertEqual((status["NoNewPrivs"].strip(), status["Seccomp"].strip()), ("1", "2"))
        # What it sees: libraries, which nothing can write, and no network.
        root, usr, mounts, networks, limits, owners = inside(
            f"cd {process} && ls -A root; echo --; ls -A root/usr; echo --; cat mountinfo; echo --; cat net/dev; echo --;"
            " cat limits; echo --; stat -c %u fd mem").split("--\n")
        self.assertEqual(set(root.split()), {"lib", "lib64", "usr"})
        self.assertLessEqual(set(usr.split()), {"lib", "lib64"})
        mounts = [line.split() for line in mounts.splitlines()]
        self.assertIn("/", [mount[4] for mount in mounts])
        self.assertEqual([mount for mount in mounts if "ro" not in mount[5].split(",")], [])
        self.assertEqual([line.split(":")[0].strip() for line in networks.splitlines()[2:]], ["lo"])
        # Nothing of its memory gets out: no core, and what /proc shows of it is root's (PR_SET_DUMPABLE).
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertEqual(owners.split(), ["0", "0"])
        # Sockets: to its shim, to the attestor, and the one that programs of the host connect to.
        held = inside(f"for one in {process}/fd/*; do readlink $one; done").split("\n")
        kinds = {re.sub(r"[:\[].*|^/memfd.*", "", one.replace("anon_inode:", "").strip("[]")) or "memfd" for one in held if one}
        self.assertEqual(len([one for one in held if one.startswith("socket:")]), SOCKETS_OF_A_VMM, held)
        group = f"/sys/fs/cgroup/alcove/{enclave['enclave']['id']}/vmm/vcpus/"
        self.assertEqual(kinds - DESCRIPTORS_OF_A_VMM - {group + "cgroup.threads", group + "cpuset.cpus.partition"}, set(), held)
        maps = inside(f"cat {process}/maps")
        libraries = set(re.findall(r"/((?:lib|ld-)[\w+-]+)\.so", maps))
        self.assertIn("libc", libraries)
        self.assertEqual(libraries - LIBRARIES_OF_A_VMM, set())
        swap = inside(f"cat /sys/fs/cgroup/alcove/{enclave['enclave']['id']}/memory.swap.max")
        self.assertEqual(swap.strip(), "0")
        self.nobody_but_the_broker_is_root()

    def nobody_but_the_broker_is_root(self):
        """While a VM is there."""
        users = {"alcoved": "alcove", "alcove-attestor": "alcove-attestor", "alcove-shim": "alcove-shim", "alcove-broker": "root"}
        found = inside("; ".join(f"id -u {user}; cat /proc/$(pidof {program})/status; echo --" for program, user in users.items()))
        for (program, user), text in zip(users.items(), found.split("--\n")):
            with self.subTest(program):
                number, *lines = text.splitlines()
                status = dict(line.split(":", 1) for line in lines)
                self.assertEqual(set(status["Uid"].split()), {number})
                capabilities = {int(status[kind], 16) for kind in ("CapPrm", "CapEff")}
                self.assertEqual(capabilities == {0}, user != "root", capabilities)

    def test_an_idle_guest_is_stopped_on_request(self):
        name = self.run_enclave(self.image("idle"), "--no-wait")
        alcove("enclave", "stop", name)
        self.assertEqual(self.end_of(name)["reason"], "host_request")

    def test_the_console_exists_in_debug_mode_only(self):
        secret = self.run_to_end(self.image("hello"))["name"]
        with self.assertRaises(Refused) as refused:
            alcove("enclave", "logs", secret)
        self.assertEqual(refused.exception.error["code"], "E91")
        console = subprocess.run([ALCOVE, "enclave", "console", secret], capture_output=True, text=True, timeout=60)
        self.assertEqual((console.returncode, console.stdout), (1, ""))
        self.assertIn("E91", console.stderr)
        self.what_the_guest_said_is_nowhere(secret)

        debug = self.run_to_end(self.image("hello"), "--debug")["name"]
        console = subprocess.run([ALCOVE, "enclave", "logs", debug], capture_output=True, text=True, timeout=60)
        self.assertIn("hello from a guest", console.stdout)

    def what_the_guest_said_is_nowhere(self, name):
        """Neither in an answer about it nor in a file of the daemons, where the same search finds its name."""
        folders = "/var/lib/alcove /run/alcove /run/alcove-view /run/alcove-attestor"
        self.assertNotIn("hello from a guest", json.dumps(alcove("enclave", "inspect", name)))
        self.assertEqual(inside(f"grep -rl 'hello from a guest' {folders}"), "")
        self.assertIn("/var/lib/alcove/daemon/alcoved.db", inside(f"grep -rl {name} {folders}"))

    def test_a_debug_enclave_replays_its_console_and_says_that_it_panicked(self):
        name = self.run_enclave(self.probe_image(), "--debug", memory="512M", timeout=240)
        self.wait_for_port(name, 6000)
        connect = stream_check.process_opener([str(ALCOVE), "enclave", "connect", name, "6000"])
        wrong = {check: detail for check, detail in stream_check.report(connect()) if detail is not None}
        self.assertEqual(wrong, {"describe_pcr": "PCR0 is zero, PCR1 is zero, PCR2 is zero"})
        self.its_document_is_taken_by_who_allows_debug_mode_only(connect)
        with subprocess.Popen([ALCOVE, "enclave", "console", name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as console:
            replayed = ""
            while "describe_nsm" not in replayed:
                line = console.stdout.readline()
                self.assertTrue(line, replayed)
                replayed += line
            self.assertNotIn("the time is not checked", replayed)
            stream_check.end(connect(), "panic")
            live, _ = console.communicate(timeout=120)
        self.assertIn("Kernel panic - not syncing", live)
        self.assertEqual(self.end_of(name)["reason"], "guest_panic")

    def its_document_is_taken_by_who_allows_debug_mode_only(self, connect):
        document, nonce = self.folder / "debug.cbor", os.urandom(32).hex()
        document.write_bytes(bytes.fromhex(stream_check.ask(connect(), f"document {nonce}")))
        verify = ("attest", "verify", "--document", document, "--nonce", nonce, "--root-from-host", "--allow-development")
        with self.assertRaises(Refused) as refused:
            alcove(*verify)
        self.assertEqual(refused.exception.exit_code, EXIT_NOT_VERIFIED)
        self.assertIn("E80", str(refused.exception))
        self.assertTrue(alcove(*verify, "--allow-debug")["verified"])
        with self.assertRaises(Refused):
            alcove(*verify, "--allow-debug", "--image", self.probe_image())

    @contextlib.contextmanager
    def nothing_stays(self):
        """What is tried in the block leaves no trace, once the enclaves it made are removed."""
        self.remove(self.run_enclave(self.image("idle"), "--no-wait"))
        before = self.traces(), self.lent()
        first = self.enclaves
        yield
        for number in range(first, self.enclaves):
            self.remove(f"test-{number + 1}")
        self.assertEqual((self.traces(), self.lent()), before)

    def test_a_guest_that_writes_nonsense_everywhere_ends_only_itself(self):
        with self.nothing_stays():
            ended = self.run_to_end(self.image("mmio_garbage"), "--debug")
            self.assertEqual(ended["reason"], "i8042_reset")
            # The source of randomness, vsock and the NSM, each started twelve times.
            self.assertIn("garbage ok, devices 3, starts 36\n", alcove("enclave", "logs", ended["name"])["console"])

    def test_a_tampered_image_does_not_run(self):
        with self.nothing_stays(), self.assertRaises(Refused) as refused:
            self.run_enclave(self.tampered_image())
        self.assertIn("E32", str(refused.exception))

    def test_an_image_that_can_not_be_run_is_refused_with_one_error(self):
        ways = (("no-kernel", b"\x7fELF\x02\x01\x01", b"\x7fNOT\x02\x01\x01", "E36"),
                ("control-characters", b"console=ttyS0", b"console=\ntyS0", "E38"))
        with self.nothing_stays():
            for name, old, new, code in ways:
                with self.subTest(name), self.assertRaises(Refused) as refused:
                    self.run_enclave(self.forged_image(name, old, new))
                self.assertIn(code, str(refused.exception))

    def test_too_little_memory_is_said_before_anything_runs(self):
        big = self.folder / "big.eif"
        alcove("image", "build", "--kernel", GUESTS / "hello.elf", "--modules", "none",
               "--directory", self.application("big", 100 << 20), "--output", big, "--cmd", "/none")
        with self.nothing_stays(), self.assertRaises(Refused) as refused:
            self.run_enclave(big)
        self.assertIn("E37", str(refused.exception))

    def test_many_runs_leave_nothing_behind(self):
        image = self.image("idle")

        def cycle(_):
            enclave = alcove("enclave", "run", "--image", image, "--cpus", 2, "--memory", "64M", "--no-wait")["id"]
            alcove("enclave", "stop", enclave)
            alcove("enclave", "remove", enclave)

        # Two at a time: they also meet each other.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(cycle, range(4)))
            before = self.traces(), self.lent(), self.rows()
            shared_memory = self.shared_memory_kib()
            list(pool.map(cycle, range(RUNS)))
        self.assertEqual((self.traces(), self.lent(), self.rows()), before)
        self.assertEqual(alcove("enclave", "list")["enclaves"], [])
        # One guest that stays is 65536 KiB; a page of each would be 400.
        self.assertLess(self.shared_memory_kib(), shared_memory + 300)

    def test_an_interrupted_run_takes_back_what_it_began(self):
        big = self.folder / "interrupted.eif"
        alcove("image", "build", "--kernel", GUESTS / "idle.elf", "--modules", "none",
               "--directory", self.application("interrupted", 200 << 20), "--output", big, "--cmd", "/none")
        before = self.traces(), self.lent()

        def attached():
            return alcove("host", "status")["embedded"]["images"]

        for interruption in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(interruption.name), \
                    subprocess.Popen([ALCOVE, "--json", "enclave", "run", "--image", big, "--memory", "1G"], text=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
                while not attached() and run.poll() is None:
                    pass
                run.send_signal(interruption)
                output, errors = run.communicate(timeout=60)
                self.assertEqual(json.loads(output)["error"]["code"], "E16", output + errors)
                self.assertEqual(run.returncode, 1)
                self.assertEqual(attached(), [])
        for enclave in alcove("enclave", "list")["enclaves"]:
            self.assertIn(enclave["state"], ("stopped", "failed"))
            alcove("enclave", "remove", enclave["id"])
        self.assertEqual((self.traces(), self.lent()), before)

    # --- processes that are killed ---

    def test_a_killed_vmm_is_recorded_and_gives_everything_back(self):
        warm_up = self.run_enclave(self.image("idle"), "--no-wait")
        self.remove(warm_up)
        before = self.traces(), self.lent()
        name = self.run_enclave(self.image("idle"), "--no-wait")
        self.assertNotEqual(self.lent(), before[1])

        inside("kill -9 $(pidof alcove-vmm)")

        ended = self.end_of(name)
        self.assertEqual((ended["state"], ended["reason"]), ("stopped", "vmm_crashed"))
        self.assertEqual(alcove("enclave", "inspect", name)["vmm"]["exit_status"], 128 + signal.SIGKILL)
        self.assertEqual((self.traces(), self.lent()), before)

    # --- who may ask ---

    def test_who_may_only_look_changes_nothing(self):
        def ask(method, path):
            with socket.socket(socket.AF_UNIX) as view:
                view.connect(str(self.folder / "state/host/alcoved-view.sock"))
                view.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n".encode())
                answer = b"".join(iter(lambda: view.recv(65536), b""))
            return int(answer.split()[1])

        name = self.run_enclave(self.image("idle"), "--no-wait")
        self.assertEqual(ask("GET", "/v1/enclaves"), 200)
        self.assertEqual(ask("GET", f"/v1/enclaves/{name}/inspect"), 200)
        self.assertEqual(ask("GET", f"/v1/enclaves/{name}/sockets"), 403)
        self.assertEqual(ask("POST", f"/v1/enclaves/{name}/stop"), 403)
        self.assertEqual(ask("DELETE", f"/v1/enclaves/{name}"), 403)

    # --- what a verifier gets ---

    def test_the_key_service_attests_and_outlives_every_daemon(self):
        image = self.key_service_image()
        known = set(inside("ls /run/alcove-attestor/vms").split())
        name = self.run_enclave(image, memory="512M", timeout=240)

        self.wait_for_port(name, 5000)
        document, nonce = self.challenge(name)
        verify = ("attest", "verify", "--document", document, "--image", image, "--root-from-host")

        self.assertTrue(alcove(*verify, "--nonce", nonce, "--allow-development")["verified"])
        for options, code in ((("--nonce", nonce), "E78"), (("--nonce", "00", "--allow-development"), "E76"),
                              (("--nonce", nonce, "--allow-development", "--pcr", "3=" + "11" * 48), "E75")):
            with self.assertRaises(Refused) as refused:
                alcove(*verify, *options)
            self.assertEqual(refused.exception.exit_code, EXIT_NOT_VERIFIED)
            self.assertIn(code, str(refused.exception))

        self.another_verifier_finds_the_same(document, image, nonce)
        self.keys_are_with_the_attestor_alone(document)
        self.a_secret_is_answered_once_its_enclave_is_verified(name, image)

        state = alcove("enclave", "inspect", name)
        self.assertTrue(state["heartbeat"]["ready"])
        self.assertEqual(state["heartbeat"]["answered_by"], "alcove")
        self.assertEqual(state["counters"]["nsm_documents"]["total"], 2)
        self.assertEqual(state["counters"]["guest_mistakes"]["total"], 0)

        self.it_outlives_every_daemon(name, image)
        alcove("enclave", "stop", name)
        self.assertEqual(self.end_of(name)["reason"], "host_request")
        self.assertEqual(inside("ls /run/alcove/vm /run/alcove/slots; pidof alcove-shim alcove-vmm").split(),
                         ["/run/alcove/slots:", "/run/alcove/vm:"])
        self.assertEqual(set(inside("ls /run/alcove-attestor/vms").split()) - known, set())
        self.assertEqual(self.run_to_end(self.image("hello"))["reason"], "i8042_reset")

    def a_secret_is_answered_once_its_enclave_is_verified(self, name, image):
        """`key_client demo` judges a new document, seals a secret to the key in it, and shows what was made of it."""
        secret = "meet me in the alcove"
        verifier = [ALCOVE, "--json", "attest", "verify", "--document", "{doc}", "--nonce", "{nonce}", "--image", image,
                    "--root-from-host", "--allow-development"]
        with subprocess.Popen([ALCOVE, "enclave", "connect", name, "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as line:
            client = subprocess.run([GUESTS / "key_client", "--stdio", "demo", "--secret", secret, "--doc-out",
                                     self.folder / "judged.cbor", "--then-verify", *verifier],
                                    stdin=line.stdout, stdout=line.stdin, stderr=subprocess.PIPE, text=True, timeout=60)
            line.stdin.close()
        self.assertEqual(client.returncode, 0, client.stderr)
        self.assertIn(f"the enclave read {len(secret)} bytes with SHA-256 {hashlib.sha256(secret.encode()).hexdigest()}", client.stderr)
        self.assertIn(f"sent them back sealed: {secret}\n", client.stderr)

    def it_outlives_every_daemon(self, name, image):
        enclave = alcove("enclave", "inspect", name)
        with subprocess.Popen([ALCOVE, "enclave", "connect", name, "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as line:
            for program in ("alcoved", "alcove-broker", "alcove-attestor"):
                with self.subTest(program):
                    self.kill_inside(program)
                    listed = [one for one in alcove("enclave", "list")["enclaves"] if one["name"] == name]
                    self.assertEqual([(one["id"], one["state"], one["ready"]) for one in listed],
                                     [(enclave["enclave"]["id"], "running", True)])
                    self.assertEqual(alcove("enclave", "inspect", name)["vmm"]["pid"], enclave["vmm"]["pid"])
                    document, nonce = self.challenge(name)
                    self.assertTrue(alcove("attest", "verify", "--document", document, "--image", image, "--root-from-host",
                                           "--nonce", nonce, "--allow-development")["verified"])
            # A stream does not pass through either of them.
            document = self.folder / "held.cbor"
            subprocess.run([GUESTS / "key_client", "--stdio", "challenge", "--nonce", os.urandom(32).hex(), "--out", document],
                           stdin=line.stdout, stdout=line.stdin, timeout=60, check=True)
            line.stdin.close()

    def another_verifier_finds_the_same(self, document, image, nonce):
        """One of hashlib, cbor2 and cryptography, which knows nothing but the image and the host's root."""
        protected, _, payload, signature = cbor2.loads(document.read_bytes())
        said = cbor2.loads(payload)
        chain = certificates_of(said)
        root = subprocess.run([ALCOVE, "attest", "root"], capture_output=True, timeout=60, check=True).stdout
        self.assertEqual(chain[-1], x509.load_pem_x509_certificate(root))
        verify_links(chain)
        verify_signature(chain[0].public_key(), protected, payload, signature)
        self.assertEqual(said["nonce"].hex(), nonce)
        _, sections = parse_eif(image.read_bytes())
        self.assertEqual({f"PCR{index}": said["pcrs"][index].hex() for index in range(3)}, measurements(sections))

    def keys_are_with_the_attestor_alone(self, document):
        """The private halves of the certificates' keys are nowhere else; where they are, the search finds them."""
        envelope = cbor2.loads(document.read_bytes())
        payload = cbor2.loads(getattr(envelope, "value", envelope)[2])
        chain = [payload["certificate"], *payload["cabundle"]]
        keys = [x509.load_der_x509_certificate(certificate).public_key() for certificate in chain]
        self.assertEqual(key_search.keys_in(self.memory_of("alcove-attestor"), keys[:1]), [0])
        for program in ("alcove-vmm", "alcove-shim", "alcoved", "alcove-broker"):
            with self.subTest(program):
                self.assertEqual(key_search.keys_in(self.memory_of(program), keys), [])

    def wait_for_end_of(self, pattern, others):
        """What a VM was given lives no longer than it; `others` were there before."""
        deadline = time.monotonic() + 30
        while left := processes(pattern) - others:
            self.assertLess(time.monotonic(), deadline, f"{pattern}: {left}")
            time.sleep(0.5)

    # --- the way out ---

    def egress_answer(self, name, target):
        """What the egress of an enclave says to a request for a tunnel, asked past the enclave."""
        directory = json.loads(inside(f"alcove --json --host local enclave inspect {name} sockets"))["directory"]
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(60)
            line.connect(str(self.folder / "state/host/connect.sock"))
            line.sendall(f"unix:{directory}/port-3128.sock\n".encode())
            with line.makefile("rb") as answers:
                self.assertEqual(answers.readline(), b"OK\n")
                line.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
                return int(answers.readline().split()[1])

    def wait_for_object(self, name, condition):
        deadline = time.monotonic() + 120
        status = "nothing"
        while time.monotonic() < deadline:
            answer = subprocess.run([ALCOVE, "enclave", "connect", name, "5001"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
            status = answer.stdout.decode()
            if status and condition(json.loads(status)):
                return json.loads(status)
            time.sleep(1)
        self.fail(f"the poller says {status}")

    def test_an_enclave_polls_object_storage_through_its_egress(self):
        address = "127.0.0.1"  # a rule may give any, so this needs no network
        application = self.folder / "object-poll"
        application.mkdir()
        shutil.copy(GUESTS / "object_poll", application)
        authority, both = certificate_for("storage.test", self.folder)
        shutil.copy(authority, application)
        server = self.enterContext(pages_at(address, Bucket, both))
        server.objects["weights"] = b"the first weights"
        target = f"storage.test:{server.server_port}"
        image = self.folder / "object-poll.eif"
        alcove("image", "build", "--kernel", "debian", "--directory", application, "--output", image,
               "--", "/object_poll", target, "models", "weights", "/ca.pem", "1")

        egress = f"socket {tempfile.gettempdir()}/alcove-egress"
        others = processes(egress)
        name = self.run_enclave(image, "--egress", f"{target}={address}", "--egress", "*.public.test:443", memory="512M", timeout=240)

        first = self.wait_for_object(name, lambda now: now["changes"] == 1 and now["polls"] > 2)
        self.assertEqual(first["sha256"], hashlib.sha256(b"the first weights").hexdigest())
        self.assertEqual((first["keys"], first["error"]), (["weights"], None))
        server.objects["weights"] = b"others"
        second = self.wait_for_object(name, lambda now: now["changes"] == 2)
        self.assertEqual(second["sha256"], hashlib.sha256(b"others").hexdigest())
        answers = [status for status, path in server.log if path == "/models/weights"]
        self.assertEqual(answers.count(200), 2, "what is the same is not sent again")
        self.assertGreater(answers.count(304), 0)

        for refused in (f"other.test:{server.server_port}", "storage.test:443", f"{address}:{server.server_port}", "169.254.169.254:80"):
            self.assertEqual(self.egress_answer(name, refused), 403, refused)
        self.assertEqual(self.egress_answer(name, target), 200)
        log = next((self.folder / "state").glob("egress-*.log")).read_text()
        self.assertIn(f"refused other.test:{server.server_port}: no rule allows this name and port", log)

        alcove("enclave", "stop", name)
        self.wait_for_end_of(egress, others)

    # --- primary VMs ---

    def vm_ramdisk(self):
        """An init that says what it finds, serves vsock, and talks to an enclave that may come up later than it; its first
        life writes to its disk and resets in the middle of a download, its second lasts as long as the service. Its first
        network is a tap, its second, if it has one, the user's."""
        root = self.folder / "vm-init"
        for folder in ("bin", "dev", "modules", "proc", "sys"):
            (root / folder).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin")
        for program in ("probe", "stream_rate"):
            shutil.copy(GUESTS / program, root)
        modules = next(KERNEL_ROOT.glob("**/lib/modules/*/kernel"))
        vsock = "net/vmw_vsock/"
        names = ("drivers/block/virtio_blk", "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net", vsock + "vsock", vsock + "vmw_vsock_virtio_transport_common",
                 vsock + "vmw_vsock_virtio_transport")
        for number, name in enumerate(names):
            with open(root / f"modules/{number}.ko", "wb") as file:
                subprocess.run(["xz", "-dc", modules / f"{name}.ko.xz"], stdout=file, check=True)
        (root / "bound").write_text("""#!/bin/busybox sh
[ "$1" = bound ] || exit 0
/bin/busybox ip addr add $ip/$mask dev $interface
/bin/busybox ip route add default via $router
echo "vm: $interface has $ip" > /dev/console
""")
        (root / "bound").chmod(0o755)
        (root / "init").write_text("""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
echo "vm: board $($b cat /sys/class/dmi/id/board_asset_tag)"
echo "vm: disk $($b cat /sys/block/vda/size) sectors, read-only $($b cat /sys/block/vda/ro) $($b cat /sys/block/vdb/ro)"
echo "vm: second disk says $($b dd if=/dev/vdb bs=5 count=1 2> /dev/null)"
echo "vm: addresses $($b cat /sys/class/net/eth0/address) $($b cat /sys/class/net/eth1/address)"
$b ip addr add 10.9.0.2/24 dev eth0
$b ip link set eth0 up
echo "vm: tap $($b wget -q -O - http://10.9.0.1/page)"
if [ -n "$page" ]; then
    $b ip link set eth1 up
    $b udhcpc -n -q -i eth1 -s /bound > /dev/null
    echo "vm: user $($b wget -q -O - $page/page)"
fi
/probe vsock &
/stream_rate cid:20 6000 to-guest 1 > /dev/null && /stream_rate cid:20 6000 from-guest 1 > /dev/null &&
    echo "vm: its enclave took and gave, and says $(/stream_rate cid:20 6000 command "reach 3 6000")"
if [ "$($b dd if=/dev/vda bs=5 count=1 2> /dev/null)" = lived ]; then
    echo "vm: lived before"
    $b dd if=/dev/urandom of=/dev/vda bs=1M seek=8 count=1 conv=fsync 2> /dev/null
    $b blkdiscard -o 8388608 -l 1048576 /dev/vda && echo "vm: discarded"
    wait
    $b poweroff -f
fi
echo "vm: first life"
printf lived | $b dd of=/dev/vda conv=fsync 2> /dev/null
[ -z "$page" ] || { $b wget -q -O /dev/null $page/endless & $b sleep 1; }
$b reboot -f
""")
        (root / "init").chmod(0o755)
        ramdisk = self.folder / "vm-init.cpio"
        with open(ramdisk, "wb") as file:
            subprocess.run("find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0", shell=True, cwd=root, stdout=file, check=True)
        return ramdisk

    def remove_vm(self, name):
        for command in (("stop", name), ("remove", name)):
            try:
                alcove("vm", *command)
            except Refused as refused:
                if refused.error["code"] not in GONE:
                    raise

    def wait_for_vm(self, name, condition, patience=240):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # An inspection takes the host much longer.
            vm, = [one for one in alcove("vm", "list")["vms"] if one["name"] == name]
            if condition(vm):
                return vm
            if vm["state"] in ("stopped", "failed"):
                break
            time.sleep(0.5)
        self.fail(f"{name}: {vm}: " + alcove("vm", "logs", name)["console"])

    def test_a_primary_vm_runs_is_reset_and_powered_off(self):
        disk, second = self.folder / "vm.img", self.folder / "vm-second.img"
        for path, content in ((disk, b""), (second, b"hello")):
            path.write_bytes(content)
            os.truncate(path, 64 << 20)
        networks = ["tap=tap0,mac=02:00:00:00:00:0a"]
        line = "console=ttyS0 reboot=k panic=30 quiet"
        address = outside_address()
        if address:
            networks.append("user")
            line += " page=" + self.enterContext(pages_at(address)).url
        inside("tunctl -t tap0 && ip addr add 10.9.0.1/24 dev tap0 && ip link set tap0 up && mkdir -p /tmp/pages && "
               "echo hello from inside > /tmp/pages/page && httpd -p 10.9.0.1:80 -h /tmp/pages")
        before = self.traces(), self.lent()
        passt = "passt --fd 3"
        others = processes(passt)
        configuration = self.folder / "vm.toml"
        configuration.write_text(f"""
ramdisk = "{self.vm_ramdisk()}"
cmdline = "{line}"
memory = "1G"
net = {json.dumps(networks)}
[[enclave]]
image = "{self.steady_image()}"
name = "web"
memory = 512
cid = 20
debug = true
""")
        self.addCleanup(self.remove_vm, "dev")

        started = alcove("vm", "start", "dev", "--config", configuration, "--cpus", 4, "--disk", disk,
                         "--disk", f"{second},readonly", timeout=240)
        self.assertEqual(started["state"], "running")
        macs = [network["mac"] for network in started["networks"]]
        self.assertEqual(macs[0], "02:00:00:00:00:0a")
        self.assertNotEqual(self.lent(), before[1])
        self.assertEqual([vm["id"] for vm in alcove("vm", "list")["vms"]], [started["id"]])
        enclave = alcove("enclave", "inspect", "web")["enclave"]
        self.assertEqual((enclave["parent"], enclave["state"], enclave["ready"]), (started["id"], "running", True))
        self.assertEqual((started["memory_mib"], started["vcpus"], enclave["vcpus"]), (512, 2, 2))
        vm = self.wait_for_vm("dev", lambda now: now["restarts"] == 1)
        self.assertEqual(vm["state"], "running")
        vcpus, _ = self.cpus_of_threads("vm", "dev")
        carved, _ = self.cpus_of_threads("enclave", "web")
        self.assertEqual(set().union(*vcpus.values()) & set().union(*carved.values()), set())

        connect = stream_check.process_opener([str(ALCOVE), "vm", "connect", "dev", "6000"])
        self.wait_for_console("dev", "vm: discarded")
        stream_check.sink(connect(), 1 << 20)
        stream_check.source(connect(), 1 << 20)
        state = alcove("vm", "inspect", "dev")
        self.assertEqual(state["counters"]["guest_mistakes"]["total"], 0)
        for counter in ("disk_reads", "disk_writes", "disk_flushes"):
            self.assertGreater(state["counters"][counter]["by_index"]["0"], 0, counter)
        self.assertEqual(state["counters"]["disk_failures"]["total"], 0)
        for number in range(len(networks)):
            for counter in ("network_received", "network_sent", "network_link_up"):
                self.assertGreater(state["counters"][counter]["by_index"][str(number)], 0, counter)
        self.assertEqual(alcove("enclave", "list")["enclaves"], [enclave])
        stream_check.end(connect(), "exit 7")
        ended = self.wait_for_vm("dev", lambda now: now["state"] == "stopped")

        self.assertEqual((ended["reason"], ended["restarts"]), ("power_off", 1))
        self.assertEqual(disk.read_bytes()[:5], b"lived")
        # What the console said in both lives is kept.
        console = subprocess.run([ALCOVE, "vm", "console", "dev"], capture_output=True, text=True, timeout=60).stdout
        self.assertEqual(console.count(f"vm: board {started['id']}"), 2, console)
        self.assertEqual(console.count("vm: its enclave took and gave, and says reached"), 2, console)
        self.assertEqual(self.end_of("web")["state"], "stopped")
        for line in ("vm: first life", "vm: lived before", "vm: discarded", "vm: disk 131072 sectors, read-only 0 1", "vm: second disk says hello"):
            self.assertIn(line, console)
        with self.subTest("a tap of the host, in both lives"):
            self.assertEqual(console.count("vm: tap hello from inside"), 2, console)
            self.assertEqual(console.count(f"vm: addresses {' '.join(macs)}"), 2, console)
        with self.subTest("the user's network, in both lives"):
            if not address:
                self.skipTest("this machine has no default route, so there is no network to be had")
            self.assertEqual(console.count("vm: eth1 has 10.0.2.15"), 2, console)
            self.assertEqual(console.count("vm: user hello from outside"), 2, console)
        self.forget_vm("dev", started)
        self.wait_for_end_of(passt, others)
        self.assertEqual(alcove("host", "status")["embedded"]["images"], [])
        self.assertEqual((self.traces(), self.lent()), before)

    # --- SGX ---

    def sgx_of(self, name):
        return alcove("sgx", "list", name)["vms"][0]

    def wait_for_thread_inside(self, name):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            state = self.sgx_of(name)["state"]
            if any(enclave["threads_inside"] for enclave in state["enclaves"]):
                return state
            time.sleep(0.2)
        self.fail(f"nobody is in an enclave of {name}: {state}")

    def wait_for_console(self, name, text):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            console = alcove("vm", "logs", name)["console"]
            if text in console:
                return console
            time.sleep(0.5)
        self.fail(f"{name} never said {text!r}: {console}")

    def test_a_vm_has_sgx_loses_its_epc_and_builds_anew(self):
        before = self.traces(), self.lent()
        configuration = self.folder / "sgx.toml"
        configuration.write_text("[sgx]\nprovision_key = true\n[[sgx.epc]]\nsize = 1\n[[sgx.epc]]\nsize = 2\nbase = 0x2_0000_0000\n")
        self.addCleanup(self.remove_vm, "unikernel")

        started = alcove("vm", "start", "unikernel", "--config", configuration, "--kernel", GUESTS / "unikernel.elf",
                         "--cmdline", "stay", "--cpus", 1, "--memory", "64M")
        self.assertEqual(started["state"], "running")
        self.assertEqual([section["size_mib"] for section in started["sgx"]["epc"]], [1, 2])
        self.assertEqual(alcove("sgx", "info")["software"]["lent_bytes"], 4 << 20)
        self.assertNotEqual(self.lent(), before[1])
        console = self.wait_for_console("unikernel", "staying 0000000000000001")
        for line in ("epc 0000000100000000", "epc size 0000000000100000", "einit 0000000000000000", "sum 000000000000002a"):
            self.assertIn(line, console)

        with self.subTest("what is shown of it"):
            state = self.wait_for_thread_inside("unikernel")
            self.assertEqual([(section["base"], section["size"]) for section in state["sections"]],
                             [(4 << 30, 1 << 20), (8 << 30, 2 << 20)])
            self.assertEqual((state["resident_pages"], state["evicted_pages"], state["valid_pages"]), (768, 0, 15))
            enclave, = state["enclaves"]
            self.assertTrue(enclave["initialized"])
            self.assertEqual((enclave["pages"], enclave["threads_inside"], enclave["entries"]), (15, 1, 3))
            self.assertEqual((enclave["leaves"]["EENTER"], enclave["leaves"]["EEXIT"]), (3, 2))
            self.assertEqual(len(enclave["mrenclave"]), 64)
            for leaf, count in (("ECREATE", 1), ("EADD", 14), ("EEXTEND", 14 * 16), ("EINIT", 1)):
                self.assertEqual(state["leaves"][leaf], {"completed": count, "faulted": 0}, leaf)
            self.assertEqual(alcove("vm", "inspect", "unikernel", "sgx.state.valid_pages"), 15)

        with self.subTest("sudden loss"):
            lost = alcove("sgx", "drop", "unikernel")
            self.assertEqual((lost["state"]["valid_pages"], lost["state"]["enclaves"]), (0, []))
            console = self.wait_for_console("unikernel", "staying 0000000000000002")
            self.assertIn("lost exception 000000000000000e 0000000000008007 0000010000000000", console)
            again, = self.wait_for_thread_inside("unikernel")["enclaves"]
            self.assertEqual((again["eid"], again["mrenclave"]), (enclave["eid"] + 1, enclave["mrenclave"]))

        alcove("vm", "stop", "unikernel", timeout=60)
        alcove("vm", "remove", "unikernel")
        self.assertEqual((self.traces(), self.lent()), before)
        self.assertEqual(alcove("sgx", "list")["vms"], [])

    def start_sealer(self, name, key_root, more=""):
        configuration = self.folder / f"{name}.toml"
        configuration.write_text(f"[sgx]\nkey_root = \"{key_root}\"\n{more}[[sgx.epc]]\nsize = 2\n")
        self.addCleanup(self.remove_vm, name)
        alcove("vm", "start", name, "--config", configuration, "--kernel", GUESTS / "unikernel.elf", "--cmdline", "seal",
               "--cpus", 1, "--memory", "64M")

    def end_sealer(self, name, lives):
        """The one key that it said in so many lives: it says it and resets itself."""
        deadline = time.monotonic() + 120
        keys = []
        while len(keys) < lives and time.monotonic() < deadline:
            console = alcove("vm", "logs", name)["console"]
            keys = re.findall(r"seal key ([0-9a-f]{16} [0-9a-f]{16})\s", console)  # behind marks, which are no text
        alcove("vm", "stop", name, timeout=60)
        alcove("vm", "remove", name)
        self.assertGreaterEqual(len(keys), lives, f"{name}: {console}")
        self.assertEqual(len(set(keys)), 1, name)
        return keys[0]

    def test_a_sealing_key_lasts_as_long_as_its_root(self):
        before = self.traces(), self.lent()
        said = []
        for lives, roots in ((2, {"one": "vm", "here": "host", "passing": "ephemeral"}),
                             (1, {"one": "vm", "there": "host", "passing": "ephemeral"})):
            for name, root in roots.items():
                self.start_sealer(name, root)
            said.append([self.end_sealer(name, lives) for name in roots])
        first, again = said
        self.assertEqual(first[:2], again[:2], "under one name, and on one host")
        self.start_sealer("other", "vm", "population = \"balloon\"\nballoon_mib = 1\n")

        with self.subTest("a guest that is asked for EPC and has no program for it has all of it"):
            self.wait_for_console("other", "seal key")
            state = self.wait_for_balloon("other", lambda _, state: state["balloon"]["target_bytes"] == 1 << 20, "be asked")
            self.assertEqual((state["balloon"]["held_bytes"], state["spill"]["budget_pages"], state["spill"]["evictions"]), (0, 512, 0))

        self.assertEqual(len({*first, again[2], self.end_sealer("other", 1)}), 5, "and all others differ")
        self.assertEqual((self.traces(), self.lent()), before)

    # A round of the unikernel's sees every page of 700, all of which it has in use.
    def wait_for_rounds(self, name, more):
        rounds = lambda: [int(line.split()[1], 16) for line in alcove("vm", "logs", name)["console"].splitlines()
                          if re.fullmatch("round [0-9a-f]{16}", line)]
        first = (rounds() or [0])[-1]
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            if (rounds() or [0])[-1] >= first + more:
                self.assertNotIn("wrong", alcove("vm", "logs", name)["console"])
                return
            time.sleep(0.5)
        self.fail(f"{name} does not get round: {alcove('vm', 'logs', name)['console']}")

    def test_a_vm_has_more_epc_in_use_than_is_in_memory(self):
        held = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c /var/lib/alcove/daemon/spill/"
        used = "df -k /var/lib/alcove | tail -n 1 | awk '{print $3}'"
        owners = lambda: [owner["owner"] for node in self.lent() for owner in node["owners"]]
        before = self.traces(), owners(), inside(held)
        lent = lambda: alcove("sgx", "info")["software"]["lent_bytes"] >> 20
        configuration = self.folder / "oversubscribed.toml"
        configuration.write_text("[sgx]\npopulation = \"oversubscribe\"\nbudget_mib = 1\n[[sgx.epc]]\nsize = 4\n")
        self.addCleanup(self.remove_vm, "ballast")
        alcove("vm", "start", "ballast", "--config", configuration, "--kernel", GUESTS / "unikernel.elf",
               "--cmdline", "ballast", "--cpus", 1, "--memory", "64M")
        self.assertEqual(lent(), 2)
        self.wait_for_console("ballast", "ballast 0000000000000000")
        self.wait_for_rounds("ballast", 1)

        with self.subTest("what is shown of it"):
            vm = self.sgx_of("ballast")
            self.assertEqual((vm["configuration"]["population"], vm["configuration"]["budget_mib"]), ("oversubscribe", 1))
            self.assertGreater(vm["state"]["valid_pages"], 700)
            self.assertLessEqual(vm["state"]["resident_pages"], 256)
            self.assertGreater(vm["state"]["evicted_pages"], 400)
            self.assertEqual(vm["state"]["spill"]["budget_pages"], 256)
            self.assertGreater(vm["state"]["spill"]["evictions"], 700)
            self.assertGreater(vm["state"]["spill"]["loads"], 700)
            self.assertNotEqual(inside(held), before[2])

        with self.subTest("a larger budget"):
            alcove("sgx", "set", "ballast", "--budget", "4M")
            self.assertEqual(lent(), 4)
            self.wait_for_rounds("ballast", 2)
            settled = self.sgx_of("ballast")["state"]
            self.assertLess(settled["evicted_pages"], 20, "what nobody touches stays away, as the enclave's three other threads")
            self.assertGreater(settled["resident_pages"], 700)
            self.wait_for_rounds("ballast", 1)
            self.assertEqual(self.sgx_of("ballast")["state"]["spill"]["loads"], settled["spill"]["loads"])

        with self.subTest("another daemon knows it"):
            self.kill_inside("alcoved")
            self.assertEqual(self.sgx_of("ballast")["configuration"]["budget_mib"], 4)
            self.assertEqual(lent(), 4)

        with self.subTest("a smaller budget"):
            state = alcove("sgx", "set", "ballast", "--budget", 1)["state"]
            self.assertLessEqual(state["resident_pages"], 256)
            self.assertGreater(state["evicted_pages"], 400)
            self.assertEqual(lent(), 2)
            self.wait_for_rounds("ballast", 1)

        with self.subTest("budgets that can not be"):
            for size, words in ((5, "4 MiB"), (0, "")):
                with self.assertRaises(Refused) as refused:
                    alcove("sgx", "set", "ballast", "--budget", size)
                self.assertIn(words, refused.exception.error["message"] + refused.exception.text)

        during = int(inside(used))
        with self.subTest("a spill file that is cut ends the VM, and says so"):
            inside("for file in /proc/[0-9]*/fd/*; do case \"$(readlink $file)\" in */daemon/spill/*) : > $file;; esac; done")
            ended = self.wait_for_vm("ballast", lambda now: now["state"] != "running")
            self.assertEqual(ended["reason"], "vcpu_error")
            self.assertIn("spill file", ended["detail"])
        alcove("vm", "remove", "ballast")
        # A daemon that begins anew counts anew what is free.
        self.assertEqual((self.traces(), owners(), inside(held)), before)
        self.assertLess(int(inside(used)), during - 3000, "the disk has the space of the spill file again")

    def balloon_ramdisk(self):
        """An init that runs the balloon's program, once, when it holds much, kills it, and lets another one outgrow the EPC."""
        root = self.folder / "balloon-init"
        for folder in ("bin", "dev", "proc", "sys"):
            (root / folder).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin")
        shutil.copy(GUESTS / "epc_balloon", root)
        shutil.copy(GUESTS / "sgx_program", root)
        (root / "init").write_text("""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
/epc_balloon &
program=$!
echo "vm: balloon runs"
while [ "$($b ls /proc/$program/fd | $b wc -l)" -lt 800 ]; do $b sleep 1; done
$b sleep 10
$b kill -9 $program
wait $program
echo "vm: balloon killed"
/sgx_program outgrow
$b sleep 3600
""")
        (root / "init").chmod(0o755)
        ramdisk = self.folder / "balloon-init.cpio"
        with open(ramdisk, "wb") as file:
            subprocess.run("find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0", shell=True, cwd=root, stdout=file, check=True)
        return ramdisk

    def wait_for_balloon(self, name, condition, what):
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            vm = self.sgx_of(name)
            if vm["state"] and condition(vm["configuration"]["budget_mib"], vm["state"]):
                return vm["state"]
            time.sleep(0.5)
        self.fail(f"{name} does not come to {what}: {vm}: {alcove('vm', 'logs', name)['console']}")

    def test_a_guest_gives_epc_back(self):
        owners = lambda: [owner["owner"] for node in self.lent() for owner in node["owners"]]
        before = self.traces(), owners()
        lent = lambda: alcove("sgx", "info")["software"]["lent_bytes"] >> 20
        self.addCleanup(self.remove_vm, "balloon")
        vm = alcove("vm", "start", "balloon", "--epc", "8M", "--epc-balloon", "--ramdisk", self.balloon_ramdisk(), "--cpus", 1,
                    "--memory", "256M", "--cmdline", "console=ttyS0 reboot=k panic=30 quiet", timeout=240)
        limit = lambda: int(inside(f"cat /sys/fs/cgroup/alcove/{vm['id']}/memory.max")) >> 20
        whole = limit()
        self.assertEqual(lent(), 8)
        self.wait_for_console("balloon", "vm: balloon runs")

        with self.subTest("what is asked for is held, and lent anew"):
            alcove("sgx", "set", "balloon", "--balloon", "4M")
            state = self.wait_for_balloon("balloon", lambda budget, _: budget == 4 and lent() == 4, "4 MiB less")
            self.assertEqual(limit(), whole - 4)
            self.assertGreaterEqual(state["balloon"]["held_bytes"], 4 << 20)
            self.assertGreaterEqual(state["balloon"]["reported_bytes"], state["balloon"]["held_bytes"])
            self.assertGreater(state["valid_pages"], 1024)
            self.assertLess(state["resident_pages"] + state["evicted_pages"], 100, "what is held is nowhere")
            self.assertEqual(state["leaves"]["ECREATE"]["completed"], state["leaves"]["EPA"]["completed"])

        with self.subTest("another daemon knows it"):
            self.kill_inside("alcoved")
            self.assertEqual(self.sgx_of("balloon")["configuration"]["balloon_mib"], 4)
            self.assertEqual(lent(), 4)

        with self.subTest("all is the guest's again"):
            alcove("sgx", "set", "balloon", "--balloon", 0)
            self.assertEqual((lent(), limit()), (8, whole))
            self.wait_for_balloon("balloon", lambda _, state: state["balloon"]["held_bytes"] == 0, "nothing")

        with self.subTest("what a program held that is killed is the VM's again"):
            alcove("sgx", "set", "balloon", "--balloon", "6M")
            self.wait_for_balloon("balloon", lambda budget, _: budget == 2 and lent() == 2, "6 MiB less")
            self.wait_for_console("balloon", "vm: balloon killed")
            state = self.wait_for_balloon("balloon", lambda budget, _: budget == 8 and lent() == 8, "all of its EPC")
            self.assertEqual((state["balloon"]["target_bytes"], state["balloon"]["reported_bytes"]), (6 << 20, 0))

        with self.subTest("what Linux pages is counted"):
            console = self.wait_for_console("balloon", "swept")
            self.assertRegex(console, r"grown 8ac\s")
            self.assertRegex(console, r"swept 4\s", "EEXIT")
            state = self.sgx_of("balloon")["state"]
            self.assertGreater(state["asynchronous_exits"], 2220, "each page was touched")
            for leaf, least in (("EAUG", 2220), ("EACCEPT", 2220), ("EWB", 200), ("ELDU", 50)):
                self.assertGreaterEqual(state["leaves"][leaf]["completed"], least, leaf)
            listed, = (vm for vm in alcove("vm", "list")["vms"] if vm["name"] == "balloon")
            self.assertEqual(listed["sgx_state"]["leaves"]["EWB"], state["leaves"]["EWB"])

        with self.subTest("balloons that can not be"):
            with self.assertRaises(Refused) as refused:
                alcove("sgx", "set", "balloon", "--balloon", "8M")
            self.assertIn("8 MiB", refused.exception.error["message"])

        alcove("vm", "stop", "balloon", timeout=60)
        alcove("vm", "remove", "balloon")
        # A daemon that begins anew counts anew what is free.
        self.assertEqual((self.traces(), owners()), before)

    def test_an_sgx_that_can_not_be_had_is_refused(self):
        before = self.traces(), self.lent()
        configuration = self.folder / "refused.toml"
        for text, words in (("[[sgx.epc]]\nsize = 4\nbase = 0\n", "over RAM"),
                            ("[sgx]\npopulation = \"balloon\"\nballoon_mib = 4\n[[sgx.epc]]\nsize = 4\n", "leaves nothing"),
                            ("[sgx]\nbackend = \"hardware\"\nkey_root = \"host\"\n[[sgx.epc]]\nsize = 4\n", "sgx.backend"),
                            ("[[sgx.epc]]\nsize = 1_000_000\n", "at most 512 GiB"),
                            ("[[sgx.epc]]\nsize = 200_000\n", "EPC")):
            configuration.write_text(text)
            with self.assertRaises(Refused) as refused:
                alcove("vm", "start", "refused", "--config", configuration, "--kernel", GUESTS / "unikernel.elf", "--memory", "64M")
            self.assertIn(words, refused.exception.error["message"], text)
        self.assertEqual((self.traces(), self.lent()), before)

    # --- enclaves that a primary VM carves out of itself ---

    def carving_ramdisk(self, script, programs=(), files=(), pool="2-3"):
        """A primary's root with the unmodified driver; `script` runs as its init, with the pool in place."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="primary.", dir=self.folder))
        ramdisk = folder / "ramdisk"
        (folder / "script").write_text(script)
        subprocess.run([HERE.parents[1] / "guests/primary/pack_ramdisk", KERNEL_ROOT, pool, folder / "script", ramdisk,
                        *(word for program in programs for word in ("--program", program)), *files], check=True)
        return ramdisk

    def start_primary(self, name, ramdisk, huge_pages=68, cpus=4, memory="768M"):
        self.addCleanup(self.remove_vm, name)
        return alcove("vm", "start", name, "--ramdisk", ramdisk, "--cpus", cpus, "--memory", memory, "--cmdline",
                      f"console=ttyS0 reboot=k panic=30 quiet hugepages={huge_pages}", timeout=240)

    def console_of(self, name):
        return subprocess.run([ALCOVE, "vm", "logs", name], capture_output=True, text=True, timeout=60).stdout

    @contextlib.contextmanager
    def most_memory(self):
        """The most memory that Alcove's VMs have together during a block, in MiB: in a list, afterwards. Looked at inside,
        as each command from here takes processors away from the carving."""
        script = ("exec 3<&0; most=0; end=$(mktemp -u); { read word <&3; touch $end; } &"
                  " while [ ! -e $end ]; do read now < /sys/fs/cgroup/alcove/memory.current;"
                  " [ $now -le $most ] || most=$now; sleep 0.2; done; rm $end; echo $most")
        with subprocess.Popen([ALCOVE, "host", "shell", "--", "sh", "-c", script], text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as look:
            most = []
            yield most
            output, _ = look.communicate("enough\n", timeout=60)
            most.append(int(output) >> 20)

    def test_a_primary_vm_carves_enclaves_out_of_itself(self):
        ramdisk = self.carving_ramdisk(f"""
ne_client image /hello.eif && echo "primary: one"
ne_client image /tampered.eif && echo "primary: a bad image"
ne_client image /hello.eif {CYCLES} && echo "primary: many"
$b rmmod nitro_enclaves && echo "primary: removed, online $($b cat /sys/devices/system/cpu/online)"
""", [GUESTS / "ne_client"], [self.image("hello"), self.tampered_image()])
        before = self.traces(), self.lent()

        with self.most_memory() as most:
            primary = self.start_primary("parent", ramdisk)
            ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped")

        console = self.console_of("parent")
        self.assertEqual(ended["reason"], "power_off", console)
        self.assertNotIn("FAILED", console)
        for line in ("primary: online 0-1, siblings 0-1", "primary: one", "primary: a bad image", "primary: many",
                     "primary: removed, online 0-3"):
            self.assertIn(line, console)
        enclaves = [one for one in alcove("enclave", "list")["enclaves"] if one["parent"] == primary["id"]]
        self.assertEqual(len(enclaves), 2 + CYCLES)
        self.assertEqual([one["error"]["code"] for one in enclaves if one["error"]], ["E32"])
        self.assertEqual({one["reason"] for one in enclaves if not one["error"]}, {"i8042_reset"})
        # Flat: no enclave's memory comes on top of its primary's.
        self.assertGreaterEqual(most[0], 768)
        self.assertLess(most[0], 768 + 64)
        alcove("vm", "remove", "parent")
        for enclave in enclaves:
            alcove("enclave", "remove", enclave["id"])
        self.assertEqual((self.traces(), self.lent()), before)

    def test_carving_outlives_the_daemons(self):
        ramdisk = self.carving_ramdisk("""
ne_client image /hello.eif 6 && echo "primary: six"
$b rmmod nitro_enclaves && echo "primary: removed, online $($b cat /sys/devices/system/cpu/online)"
""", [GUESTS / "ne_client"], [self.image("hello")])
        # A daemon that comes back reads anew how much memory the host has to lend.
        def holders():
            return [[(owner["owner"], owner["cores"]) for owner in node["owners"]] for node in self.lent()]

        before = self.traces(), holders()

        self.start_primary("parent", ramdisk)
        self.wait_for_vm("parent", lambda _: alcove("enclave", "list")["enclaves"])
        for program in ("alcoved", "alcoved", "alcove-broker", "alcoved"):
            self.kill_inside(program)
            time.sleep(1)
        ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped")

        console = self.console_of("parent")
        self.assertEqual(ended["reason"], "power_off", console)
        self.assertNotIn("FAILED", console)
        self.assertIn("primary: six", console)
        self.assertIn("primary: removed, online 0-3", console)
        alcove("vm", "remove", "parent")
        for enclave in alcove("enclave", "list")["enclaves"]:
            self.assertEqual(enclave["state"], "stopped", enclave)
            alcove("enclave", "remove", enclave["id"])
        self.assertEqual((self.traces(), holders()), before)

    # --- AWS's command line ---

    # What nitro_primary_init finds, in this order.
    IN_A_PRIMARY = (
        "image 0, CRC true, signed false", "signed 0, PCR8 equal", "signature 0, true", "pcr 0, 97", "explain 0, 1",
        "enclaves before []",
        "policy 0, dedicated", "policy shared 1, no core scheduling 1", "policy of another user 1, root only 1, told 0",
        "refused an option 2:", "refused memory 39: E26E39", "refused pages 39: E27E39", "refused image 39: E19E39",
        "refused count 39: E22E39", "refused pool 39: E21E39", "refused half a core 39: E29E39", "refused name 58: E58",
        "refused id 11: E11", "refused, all pages free",
        "refused early 39: E36E39", "ne_sample early 1, 1", "early, all pages free",
        "run 0, name steady, CPUs 2, memory 192", "two at once",
        "described 0, same id yes, state RUNNING, flags DEBUG_MODE", "PCR0 of enclave and image equal",
        "console 0, from the beginning 1", "console again 0, from the beginning 1", "the enclave is talked to",
        "CID 0, debug mode 0", "CID 0, production 1, reset 1", "enclaves reached 0, refused 2",
        "refused a third 39: E29E39", "the module is in use", "killed, pages free", "the other 1",
        "terminated 0, true, same id yes", "terminated, all pages free",
        "brief 0, name web, CID 77", "refused a console 44: E44", "ended by itself, all pages free", "enclaves after []",
        "removed, online 0-5", "an enclave runs", "a device that was let go is empty", "complaints of the kernel 0")

    def steady_image(self):
        return self.debian_image("steady", GUESTS / "probe", "/probe", "vsock")

    def signing_key(self):
        """A key and a certificate of it, as PEM files."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "30",
                        "-subj", "/CN=signer", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return key, certificate

    def nitro_cli(self, *arguments, exit_code=0):
        """`alcove`, called as AWS's tool, on the host: what it prints."""
        result = subprocess.run([ALCOVE.with_name("nitro-cli"), *map(str, arguments)], capture_output=True, text=True, timeout=240)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        return result.stdout

    def test_a_primary_vms_user_has_nitro_cli(self):
        images = [self.steady_image(), self.image("hello"), self.image("idle")]
        root = self.folder / "host-root.pem"
        alcove("attest", "root", "--output", root)
        ramdisk = self.carving_ramdisk((HERE / "nitro_primary_init").read_text(),
                                       [ALCOVE, *(GUESTS / name for name in ("ne_client", "ne_sample", "stream_rate"))],
                                       [*images, root, *self.signing_key()], pool="2-5")
        before = self.traces(), self.lent()

        primary = self.start_primary("parent", ramdisk, huge_pages=200, cpus=6, memory="1G")
        self.wait_for_vm("parent", lambda _: any(one["state"] == "running" and one["memory_mib"] == 192
                                                 for one in alcove("enclave", "list")["enclaves"]))
        self.assertEqual(json.loads(self.nitro_cli("describe-enclaves")), [])
        ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped", patience=540)

        console = self.console_of("parent")
        self.assertEqual(ended["reason"], "power_off", console)
        self.assertNotIn("FAILED", console)
        said = [line[len("nitro: "):].rstrip() for line in console.splitlines() if line.startswith("nitro: ")]
        said.remove(f"id of {primary['id']}")
        early = [line for line in said if line.startswith("early, 1 after")]
        self.assertLess(int(early[0].split()[3]), 60)
        said.remove(early[0])
        enclaves = [one for one in alcove("enclave", "list")["enclaves"] if one["parent"] == primary["id"]]
        attested, = [line for line in said if line.startswith("attested 0, ")]
        module_id, pcr4 = attested.split()[2:]
        self.assertIn(module_id, [one["id"] for one in enclaves if one["memory_mib"] == 192 and not one["debug"]])
        self.assertEqual(pcr4, hashlib.sha384(bytes(48) + primary["id"].encode()).hexdigest())
        said.remove(attested)
        self.assertEqual(said, list(self.IN_A_PRIMARY), console)
        self.assertEqual({one["state"] for one in enclaves} - {"stopped", "failed"}, set())
        alcove("vm", "remove", "parent")
        for enclave in enclaves:
            alcove("enclave", "remove", enclave["id"])
        self.assertEqual((self.traces(), self.lent()), before)

    def test_nitro_cli_serves_a_host(self):
        image = self.steady_image()
        run = ("run-enclave", "--eif-path", image, "--memory", 512)
        self.nitro_cli(*run, "--cpu-ids", 1, exit_code=21)  # the host's own core
        self.nitro_cli(*run, "--cpu-ids", 3, exit_code=20)  # half of one
        self.nitro_cli(*run[:4], 4, "--cpu-count", 2, exit_code=26)
        self.nitro_cli("run-enclave", "--eif-path", "/nowhere", "--memory", 512, "--cpu-count", 2, exit_code=19)
        self.assertEqual(json.loads(self.nitro_cli("describe-enclaves")), [])

        ran = json.loads(self.nitro_cli(*run, "--cpu-ids", 4, 5, "--debug-mode"))
        self.addCleanup(self.remove, ran["EnclaveName"])
        self.assertEqual((ran["EnclaveName"], ran["NumberOfCPUs"], ran["CPUIDs"], ran["MemoryMiB"]), ("steady", 2, [4, 5], 512))
        described = json.loads(self.nitro_cli("describe-enclaves"))
        measurements = json.loads(self.nitro_cli("describe-eif", "--eif-path", image))["Measurements"]
        self.assertEqual(described, [ran | {"State": "RUNNING", "Flags": "DEBUG_MODE", "Measurements": measurements}])
        self.assertIn("Linux version", self.nitro_cli("console", "--enclave-id", ran["EnclaveID"], "--disconnect-timeout", 2))
        ended = json.loads(self.nitro_cli("terminate-enclave", "--enclave-name", "steady"))
        self.assertEqual(ended, {"EnclaveName": "steady", "EnclaveID": ran["EnclaveID"], "Terminated": True})
        self.assertEqual(json.loads(self.nitro_cli("describe-enclaves")), [])
        self.nitro_cli("terminate-enclave", "--enclave-id", ran["EnclaveID"], exit_code=11)

    # --- the same from a kernel of a few instructions (guests/asm/carver.S), for what Linux would not do ---

    def start_carver(self, name, orders, image, *options):
        self.addCleanup(self.remove_vm, name)
        return alcove("vm", "start", name, "--kernel", GUESTS / "carver.elf", "--ramdisk", image, "--cpus", 4,
                      "--memory", "128M", "--cmdline", f"from=48 to=112 ram=128 debug=1 do={orders}", *options, timeout=240)

    def carved(self, primary):
        return [one for one in alcove("enclave", "list")["enclaves"] if one["parent"] == primary["id"]]

    def forget_vm(self, name, primary):
        alcove("vm", "remove", name)
        for enclave in self.carved(primary):
            self.assertIn(enclave["state"], ("stopped", "failed"), enclave)
            alcove("enclave", "remove", enclave["id"])

    def test_nothing_leaks_between_a_primary_vm_and_its_enclaves(self):
        """The primary fills its memory with a pattern; the enclave finds zeros and leaves a mark; the primary finds zeros."""
        before = self.traces(), self.lent()
        primary = self.start_carver("parent", 2 * "pamvvsowofzq", self.image("memory_zero", "mark=1"))
        ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped")

        console = self.console_of("parent")
        self.assertEqual(ended["reason"], "power_off", console)
        self.assertEqual(console.split(), 2 * "p 0 a 0 m 0 v 0 v 0 s 0 o 0 w 0 o 0 f 0 z 0 q 0".split())
        enclaves = self.carved(primary)
        self.assertEqual([one["reason"] for one in enclaves], ["i8042_reset"] * 2)
        for enclave in enclaves:
            found = subprocess.run([ALCOVE, "enclave", "logs", enclave["id"]], capture_output=True, text=True, timeout=60).stdout
            self.assertRegex(found, r"^memory ok \d+\s*$")
            self.assertGreater(int(found.split()[2]), (64 << 20) // 4096 * 9 // 10, "pages that were looked at")
        self.forget_vm("parent", primary)
        self.assertEqual((self.traces(), self.lent()), before)

    def test_a_second_start_and_a_free_while_starting_are_survived(self):
        before = self.traces(), self.lent()
        primary = self.start_carver("parent", "pamvvssfz" + "pamvvsxxfz", self.image("idle"))
        ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped")

        console = self.console_of("parent")
        self.assertEqual(ended["reason"], "power_off", console)
        self.assertEqual(console.split(), ("p 0 a 0 m 0 v 0 v 0 s 0 s -22 f 0 z 0 " + "p 0 a 0 m 0 v 0 v 0 s 0 x 0 x 0 f 0 z 0").split())
        self.assertEqual(len(self.carved(primary)), 2)
        self.forget_vm("parent", primary)
        self.assertEqual((self.traces(), self.lent()), before)

    def cpus_of_threads(self, kind, name):
        """Of a VMM's threads: {name: set of CPUs} of its vCPUs, and the CPUs of all others."""
        pid = alcove(kind, "inspect", name)["vmm"]["pid"]
        lines = inside(f"for t in /proc/{pid}/task/*; do echo $(cat $t/comm) $(sed -n 's/Cpus_allowed_list://p' $t/status); done")
        vcpus, others = {}, set()
        for line in lines.splitlines():
            # One that ended meanwhile; and KVM's own worker, which the kernel starts from the first vCPU.
            if not line.strip() or line.startswith("kvm-nx-lpage"):
                continue
            thread, ranges = line.split()
            cpus = {cpu for first, _, last in (part.partition("-") for part in ranges.split(","))
                    for cpu in range(int(first), int(last or first) + 1)}
            if thread.startswith("vcpu"):
                vcpus[thread] = cpus
            else:
                others |= cpus
        return vcpus, others

    def test_cpus_of_a_primary_vm_and_its_enclave(self):
        primary = self.start_carver("parent", "pamvvswfh", self.image("idle"))
        self.wait_for_vm("parent", lambda _: "s 0" in self.console_of("parent"))
        enclave, = self.carved(primary)

        vcpus, others = self.cpus_of_threads("vm", "parent")
        carved, carved_others = self.cpus_of_threads("enclave", enclave["id"])

        self.assertEqual([len(vcpus[f"vcpu{i}"]) for i in (0, 1)], [1, 1], vcpus)
        kept = vcpus["vcpu0"] | vcpus["vcpu1"]
        self.assertEqual(len(kept), 2)
        self.assertEqual(kept, {int(cpu) for cpu in inside(
            f"cat /sys/devices/system/cpu/cpu{min(kept)}/topology/thread_siblings_list").replace("-", ",").split(",")})
        self.assertEqual([vcpus[f"vcpu{i}"] for i in (2, 3)], [kept, kept], "they float on what is left")
        self.assertEqual([len(carved[f"vcpu{i}"]) for i in (0, 1)], [1, 1], carved)
        given = carved["vcpu0"] | carved["vcpu1"]
        self.assertEqual((len(given), given & kept), (2, set()))
        self.assertTrue(others and carved_others)
        self.assertEqual((others | carved_others) & (kept | given), set(), "emulation runs elsewhere")

        alcove("enclave", "stop", enclave["id"])
        self.wait_for_vm("parent", lambda _: "f 0" in self.console_of("parent"))
        again, others = self.cpus_of_threads("vm", "parent")
        self.assertEqual([again[f"vcpu{i}"] for i in (0, 1)], [vcpus[f"vcpu{i}"] for i in (0, 1)])
        self.assertEqual([len(again[f"vcpu{i}"]) for i in (2, 3)], [1, 1], again)
        self.assertEqual(again["vcpu2"] | again["vcpu3"], given, "they have them again")
        self.assertEqual(others & (kept | given), set())
        alcove("vm", "stop", "parent")
        self.forget_vm("parent", primary)

    def noticed(self, bystander):
        """What a VM knows of what happens beside it, if it does."""
        now = alcove("enclave", "inspect", bystander)
        return now["enclave"]["state"], now["vmm"]

    def ram_in_use(self):
        """Of each memory file that is carved, or carved from: its size and what the host gave for it, in MiB."""
        files = inside("for shim in $(pidof alcove-shim); do for file in /proc/$shim/fd/*; do case $(readlink $file) in"
                       " *alcove-ram*) stat -Lc '%d:%i %s %b' $file;; esac; done; done | sort -u").splitlines()
        return sorted((int(size) >> 20, int(blocks) >> 11) for _, size, blocks in (file.split() for file in files))

    def test_a_primary_vm_in_huge_pages_carves_with_one_page_to_spare(self):
        """Without it nothing moves; what has moved when it is gone goes back; and what the host is short of when memory
        comes back is waited for. No other VM notices."""
        self.addCleanup(inside, f"echo 0 > {HUGE_PAGES}/nr_hugepages; kill $(pidof alcoved)")

        def host_has(pages):
            inside(f"echo {pages} > {HUGE_PAGES}/nr_hugepages")

        def free():
            return int(inside(f"cat {HUGE_PAGES}/free_hugepages"))

        bystander = self.run_enclave(self.image("idle"), "--no-wait")
        host_has(65)
        self.kill_inside("alcoved")
        before = self.traces(), self.lent(), self.noticed(bystander)
        self.assertEqual(before[2][0], "running")
        host_has(64)
        primary = self.start_carver("parent", "pamnvvswfz", self.image("idle"), "--pages", "2m")
        self.wait_for_vm("parent", lambda _: "m -12" in self.console_of("parent"))
        self.assertEqual(free(), 0)
        self.assertEqual([one["memory_mib"] for one in self.carved(primary)], [0])

        # The page is gone again as soon as the move has taken it, and so is the first that it lets go.
        inside(f"cd {HUGE_PAGES}; echo 65 > nr_hugepages; until read free < free_hugepages; [ $free = 0 ]; do :; done;"
               " echo 64 > nr_hugepages")
        time.sleep(1)
        (window, moved), (whole, left) = self.ram_in_use()
        self.assertEqual((window, whole, moved + left), (64, 128, 128))
        self.assertTrue(0 < moved < 64, moved)
        self.assertEqual(self.console_of("parent").split()[-1], "n", "it is not answered yet")
        self.assertEqual(self.noticed(bystander), before[2])

        host_has(65)
        self.wait_for_vm("parent", lambda _: "s 0" in self.console_of("parent"))
        # Its image had no page beyond those that are its memory again when it runs.
        self.wait_for_vm("parent", lambda _: [one["state"] for one in self.carved(primary)] == ["running"])
        self.assertEqual(free(), 1)
        enclave, = self.carved(primary)
        self.assertEqual((enclave["memory_mib"], alcove("vm", "inspect", "parent")["vm"]["memory_mib"]), (64, 128))

        host_has(48)  # those in use that are too many go when they are let go
        alcove("enclave", "stop", enclave["id"], "--no-wait")  # it is over when its memory is back
        self.wait_for_vm("parent", lambda _: "f" in self.console_of("parent"))
        time.sleep(2)
        self.assertNotIn("f 0", self.console_of("parent"))
        self.assertEqual(free(), 0)
        host_has(65)
        ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped")

        console = self.console_of("parent")
        self.assertEqual(ended["reason"], "power_off", console)
        self.assertEqual(console.split(), "p 0 a 0 m -12 n 0 v 0 v 0 s 0 w 0 f 0 z 0".split())
        self.forget_vm("parent", primary)
        self.assertEqual((self.traces(), self.lent(), self.noticed(bystander)), before)
        self.assertEqual(free(), 65)

    def test_every_end_of_a_primary_vm_returns_what_it_carved(self):
        image = self.image("idle")
        # What alcoved opens once and keeps is open then.
        primary = self.start_carver("parent", "pamvvsk", image)
        self.wait_for_vm("parent", lambda now: now["state"] == "stopped")
        self.forget_vm("parent", primary)
        known = set(inside("ls /run/alcove-attestor/vms").split())
        bystander = self.run_enclave(image, "--no-wait")

        before = self.traces(), self.lent(), self.noticed(bystander)
        self.assertEqual(before[2][0], "running")
        # Every state ends in a kill; panics and resets take turns. CarvingEndTest and CarvingResetTest have them all.
        for state, ends in (("a", "hk"), ("am", "hr"), ("amvv", "hk"), ("pamvvs", "hkr")):
            for end in ends:
                with self.subTest(state=state, end=end):
                    primary = self.start_carver("parent", state + end, image)
                    if end == "h":
                        self.wait_for_vm("parent", lambda _: "h" in self.console_of("parent"))
                        inside(f"kill -9 {alcove('vm', 'inspect', 'parent')['vmm']['pid']}")
                    if end == "r":
                        self.wait_for_vm("parent", lambda now: now["restarts"] == 2)
                        alcove("vm", "stop", "parent")
                    ended = self.wait_for_vm("parent", lambda now: now["state"] == "stopped")

                    console = self.console_of("parent")
                    # One that resets itself all the time may be found between two lives.
                    reasons = {"h": ["vmm_crashed"], "k": ["guest_panic"], "r": ["host_request", "i8042_reset"]}
                    self.assertIn(ended["reason"], reasons[end], console)
                    # No life finds anything gone.
                    self.assertNotIn("-", console)
                    self.assertGreaterEqual(console.count("a 0"), 2 if end == "r" else 1)
                    self.forget_vm("parent", primary)
                    self.assertEqual((self.traces(), self.lent(), self.noticed(bystander)), before)
        self.remove(bystander)
        # An enclave that was never measured has nothing there; that of "pamvvs" had.
        self.assertEqual(set(inside("ls /run/alcove-attestor/vms").split()) - known, set())

    # --- what a newcomer sees ---

    def test_the_demo_shows_what_it_says(self):
        demo = subprocess.run([HERE.parents[1] / "guests/demo", BUILD, KERNEL_ROOT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=400, env={**os.environ, "ALCOVE_DEMO_PAUSE": "1"})
        self.assertEqual(demo.returncode, 0, demo.stdout)
        self.assertIn("All of it worked.", demo.stdout)
        _, _, _, asked, stale, tampered, _, whole, carved, attested, again = demo.stdout.split("\n\x1b[1m")
        for step, words in ((asked, "\nverified; the enclave's public key is "), (asked, "sent them back sealed: meet me in the alcove"),
                            (stale, "\nerror E76 "), (tampered, "\nerror E32 "), (tampered, "\nerror E75 "),
                            (attested, "\nverified; the enclave's public key is "), (attested, "sent them back sealed: carved in the alcove")):
            self.assertIn(words, step, demo.stdout)
        # In the picture of the host an enclave stands behind a plus: once with its core, once with its memory.
        self.assertEqual([len(re.findall(r"  \+ \S", step)) for step in (whole, carved, again)], [0, 2, 0], demo.stdout)

    # --- everything inside, once ---

    def test_the_nsm_and_vsock_serve_a_probe_inside(self):
        name = self.run_enclave(self.probe_image(), memory="512M", timeout=240)
        connect = stream_check.process_opener([str(ALCOVE), "enclave", "connect", name, "6000"])

        self.wait_for_port(name, 6000)
        stream_check.check_report(connect())
        stream_check.sink(connect(), BULK_BYTES)
        stream_check.source(connect(), BULK_BYTES)
        stream_check.parallel(connect, STREAMS, BULK_BYTES // STREAMS)
        self.connections_of_the_enclave_are_served(name, connect)

        # Its init reaps whatever loses its parent, and keeps the clock; once a minute, so this takes long.
        self.assertEqual(stream_check.ask(connect(), "orphans 20"), "20 0")
        if ALL:
            self.assertLess(int(stream_check.ask(connect(), "step-clock 90000")), 90_000)

        stream_check.end(connect(), "exit 7")
        ended = self.end_of(name)
        self.assertEqual(ended["reason"], "i8042_reset")
        self.assertEqual((ended["app_exit"]["kind"], ended["app_exit"]["value"]), ("exited", 7))


    @unittest.skipUnless(NITRO_KERNEL.exists(), "ALCOVE_TEST_KERNELS names no folder with bzImage-6.12-enclave")
    def test_a_kernel_of_the_nitro_kind_has_everything_an_enclave_has(self):
        """Its drivers are built in, and it finds its devices on the command line. Its power-off is a halt."""
        image = self.folder / "nitro-kernel.eif"
        application = self.folder / "probe-of-nitro-kernel"
        application.mkdir()
        shutil.copy(GUESTS / "probe", application)
        alcove("image", "build", "--kernel", NITRO_KERNEL, "--modules", "none", "--directory", application, "--output", image,
               "--cmdline", "reboot=k panic=1 pci=off nomodules console=ttyS0 quiet random.trust_cpu=on", "--cmd", "/probe", "all")
        name = self.run_enclave(image, memory="256M", timeout=240)
        connect = stream_check.process_opener([str(ALCOVE), "enclave", "connect", name, "6000"])
        self.wait_for_port(name, 6000)
        stream_check.check_report(connect())
        stream_check.sink(connect(), 1 << 20)
        stream_check.source(connect(), 1 << 20)
        stream_check.end(connect(), "poweroff")
        self.assertEqual(self.end_of(name)["reason"], "halted")

    def connections_of_the_enclave_are_served(self, name, connect):
        """`alcove enclave listen` in each of its forms."""
        with socket.socket(socket.AF_UNIX) as server:
            path = self.folder / "forward.sock"
            server.bind(str(path))
            server.listen(2 * STREAMS)

            def connect_back(stream, count, seed=0):
                stream_check.connect_back(stream, server, 7000, count)

            with self.listening(name, 7000, "--keep", "--forward", f"unix:{path}") as counts:
                connect_back(connect(), BULK_BYTES)
                stream_check.parallel(connect, STREAMS, BULK_BYTES // STREAMS, connect_back)
                with self.assertRaises(Refused) as refused:
                    alcove("enclave", "listen", name, 7000, "--exec", "cat")
                self.assertEqual(refused.exception.error["code"], "E04")
            self.assertEqual((counts["connections"], counts["failed"]), (1 + STREAMS, 0))

        with self.listening(name, 7001, "--keep", "--exec", "sha256sum | cut -d ' ' -f 1"):
            with connect() as stream:
                stream.write(b"connect 7001 1000000\n")
                self.assertEqual(stream.read_line(), stream_check.pattern_sha256(7001, 1_000_000))

        # One connection on standard input and output. The enclave ends its half first and still gets the answer.
        with subprocess.Popen([ALCOVE, "enclave", "listen", name, "7002"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as listener:
            self.assertIn(b"listening on port 7002", listener.stderr.readline())
            with connect() as stream:
                stream.write(b"connect 7002 100000\n")
                self.assertEqual(listener.stdout.read(), b"".join(stream_check.pattern_chunks(7002, 100_000)))
                listener.stdin.write(b"well received\n")
                listener.stdin.close()
                self.assertEqual(stream.read_line(), "well received")
            self.assertEqual(listener.wait(timeout=60), 0)

        # Nobody listens any more.
        with connect() as stream:
            stream.write(b"connect 7000 10\n")
            with self.assertRaises(stream_check.StreamError):
                stream.read_line()


# What its machine is made of; no file with a name but these, and those that place its own vCPUs.
DESCRIPTORS_OF_A_VMM = {"kvm-vm", "kvm-vcpu", "eventfd", "eventpoll", "timerfd", "signalfd", "memfd", "socket", "pipe", "/dev/null",
                        "/dev/kvm"}

HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB"

# Code that a guest which takes a VMM over finds there.
SOCKETS_OF_A_VMM = 3

LIBRARIES_OF_A_VMM = {"ld-linux-x86-64", "libc", "libm", "libgcc_s", "libstdc++", "libcrypto", "libseccomp", "libspdlog", "libfmt",
                      "libcbor", "libdeflate", "libz"}

# Twice: of each thread of ours, and of every one that waits for the disk or for another processor, its times, its
# processor, and its stack in the kernel. Then the interrupts, and the kernel's last words.
WAITS = """
threads() {
    for task in /proc/[0-9]*/task/[0-9]*; do
        name=$(cat "$task/comm" 2> /dev/null) || continue
        times=$(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 1,12,13,37)
        case $name:$times in alcove*|*:D*) ;; *) continue ;; esac
        echo "== ${task#/proc/} $name, state, user, system, processor: $times; call $(cat "$task/syscall")"
        cat "$task/stack"
    done
    cat /proc/interrupts
}
threads; sleep 1; threads
dmesg | tail -n 100
"""

ALL = bool(os.environ.get("ALCOVE_TEST_ALL"))
RUNS = 100
CYCLES = int(os.environ.get("ALCOVE_STACK_CYCLES", "8"))

if __name__ == "__main__":
    names = sys.argv[1:] or unittest.defaultTestLoader.getTestCaseNames(StackTest)
    report = Report()
    unittest.TestSuite(map(StackTest, names)).run(report)
    print(f"{report.testsRun} tests, {len(report.failures) + len(report.errors)} failures, {len(report.skipped)} skipped")
    sys.exit(not report.wasSuccessful())
