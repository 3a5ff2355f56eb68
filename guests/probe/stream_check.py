# SPDX-License-Identifier: Apache-2.0
"""The host's side of `probe`: runs its commands over a connection and checks what comes of them.

A connection is a Stream, made of a connected socket or of a process whose standard input and output are the
connection, such as `alcove enclave connect NAME 6000`. Each function takes a fresh Stream, runs one command on it
and closes it. What is not as it should be is a StreamError. Needs the standard library only.

    open_stream = process_opener(["alcove", "enclave", "connect", "NAME", "6000"])
    stream_check.echo(open_stream(), 1 << 20)
    stream_check.parallel(open_stream, 64, 100 << 20)
"""

import hashlib
import socket
import struct
import subprocess
import threading

CHUNK = 65536
PERIOD = 65521
PROBE_PORT = 6000


class StreamError(Exception):
    pass


# ---- The pattern, as probe/pattern.hpp has it ----

_periods = {}


def _period(seed):
    """65521 bytes of SplitMix64, words with the least byte first."""
    if seed not in _periods:
        mask = (1 << 64) - 1
        state = seed
        words = []
        for _ in range(PERIOD // 8 + 1):
            state = (state + 0x9E3779B97F4A7C15) & mask
            word = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
            word = ((word ^ word >> 27) * 0x94D049BB133111EB) & mask
            words.append(word ^ word >> 31)
        _periods[seed] = struct.pack(f"<{len(words)}Q", *words)[:PERIOD]
    return _periods[seed]


def pattern_chunks(seed, count):
    """The first `count` bytes of the pattern, in chunks."""
    doubled = _period(seed) + _period(seed)[:CHUNK] + _period(seed)[:CHUNK - PERIOD]
    for offset in range(0, count, CHUNK):
        start = offset % PERIOD
        yield doubled[start:start + min(CHUNK, count - offset)]


def pattern_sha256(seed, count):
    digest = hashlib.sha256()
    for chunk in pattern_chunks(seed, count):
        digest.update(chunk)
    return digest.hexdigest()


# ---- Connections ----


class Stream:
    """A connection with two ends: `write`, then `end_writing`; `read` gives b"" at the end."""

    def __init__(self, read, write, end_writing, close):
        self.read, self.write, self.end_writing, self.close = read, write, end_writing, close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read_line(self):
        """A line without its newline; for answers that are the last of their connection."""
        line = b""
        while not line.endswith(b"\n"):
            piece = self.read(CHUNK)
            if not piece:
                raise StreamError(f"the connection ended within a line: {line[:200]!r}")
            line += piece
        text = line[:-1].decode(errors="replace")
        if text.startswith("FAILED "):
            raise StreamError(text)
        return text


def socket_stream(connection, timeout=300):
    """Over a connected socket, which it owns from now on."""
    connection.settimeout(timeout)
    return Stream(connection.recv, connection.sendall, lambda: connection.shutdown(socket.SHUT_WR), connection.close)


def process_stream(arguments, timeout=300):
    """Over a new process's standard input and output. One that takes longer is killed, which ends the stream."""
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    watchdog = threading.Timer(timeout, process.kill)
    watchdog.daemon = True
    watchdog.start()

    def write(data):
        view = memoryview(data)
        while view:
            view = view[process.stdin.write(view):]

    def close():
        process.stdin.close()
        # What ends its output has nothing more to say; it may still be about to exit.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        watchdog.cancel()
        process.stdout.close()

    return Stream(process.stdout.read, write, process.stdin.close, close)


def process_opener(arguments, timeout=300):
    return lambda: process_stream(arguments, timeout)


def connect_socket_stream(path, port=PROBE_PORT, timeout=300):
    """Over a machine's connect socket: `CONNECT <port>`, answered by `OK <number>`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    connection.connect(path)
    connection.sendall(f"CONNECT {port}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        byte = connection.recv(1)  # what follows the line is the stream's
        if not byte:
            raise StreamError(f"port {port} is refused")
        answer += byte
    if not answer.startswith(b"OK "):
        raise StreamError(f"port {port}: {answer!r}")
    return socket_stream(connection, timeout)


# ---- Commands ----


class _Writer(threading.Thread):
    """Sends the pattern while the caller reads; `finish` raises what went wrong."""

    def __init__(self, stream, count, seed):
        super().__init__(daemon=True)
        self._stream, self._count, self._seed, self._error = stream, count, seed, None
        self.start()

    def run(self):
        try:
            for chunk in pattern_chunks(self._seed, self._count):
                self._stream.write(chunk)
            self._stream.end_writing()
        except (OSError, ValueError) as error:
            self._error = error

    def finish(self):
        self.join()
        if self._error:
            raise StreamError(f"sending: {self._error}")


def _receive_pattern(stream, count, seed):
    digest, received = hashlib.sha256(), 0
    while piece := stream.read(CHUNK):
        digest.update(piece)
        received += len(piece)
    if received != count:
        raise StreamError(f"{received} bytes came instead of {count}")
    if digest.hexdigest() != pattern_sha256(seed, count):
        raise StreamError(f"{count} bytes came, but they are not those that were sent")


def _command(stream, line):
    stream.write(line.encode() + b"\n")


def echo(stream, count, seed=1):
    """Sends `count` bytes and expects them back."""
    with stream:
        _command(stream, "echo")
        writer = _Writer(stream, count, seed)
        _receive_pattern(stream, count, seed)
        writer.finish()


def sink(stream, count, seed=1):
    """Sends `count` bytes; the enclave answers with their checksum."""
    with stream:
        _command(stream, "sink")
        writer = _Writer(stream, count, seed)
        answer = stream.read_line()
        writer.finish()
    expected = f"{count} {pattern_sha256(seed, count)}"
    if answer != expected:
        raise StreamError(f"the enclave got {answer} instead of {expected}")


def source(stream, count, seed=1):
    """The enclave sends `count` bytes."""
    with stream:
        _command(stream, f"source {count} {seed}")
        _receive_pattern(stream, count, seed)


def connect_back(stream, listener, port, count, answer="received", timeout=300):
    """The enclave connects to the host's `port`, which reaches `listener`, and sends `count` bytes. The answer
    goes the whole way back."""
    with stream:
        listener.settimeout(timeout)
        _command(stream, f"connect {port} {count}")
        connection, _ = listener.accept()
        with socket_stream(connection, timeout) as incoming:
            _receive_pattern(incoming, count, port)
            incoming.write(answer.encode() + b"\n")
        relayed = stream.read_line()
    if relayed != answer:
        raise StreamError(f"the answer came back as {relayed!r}")


def report(stream):
    """The checks of `probe all`: a list of (name, detail), the detail None for what is well."""
    text = b""
    with stream:
        _command(stream, "report")
        while piece := stream.read(CHUNK):
            text += piece
    lines = text.decode().splitlines()
    if not lines or lines.pop() != "done":
        raise StreamError(f"the report has no end: {text[-200:]!r}")
    results = []
    for line in lines:
        verdict, _, rest = line.partition(" ")
        name, _, detail = rest.partition(" ")
        if verdict not in ("ok", "FAILED"):
            raise StreamError(f"the report has a line {line!r}")
        results.append((name, None if verdict == "ok" else detail))
    return results


# What every probe checks.
CHECKS = {"describe_nsm", "describe_pcr", "extend_pcr", "extend_locked_pcr", "lock_pcr", "lock_pcr_again", "lock_pcrs",
          "lock_pcrs_too_many", "index_too_large", "attestation_0", "attestation_1", "attestation_2", "attestation_3",
          "garbage", "get_random", "hwrng", "virtio_rng"}


def check_report(stream):
    """The names of the checks; a StreamError with all that failed, or that were not made."""
    results = report(stream)
    failed = [f"{name}: {detail}" for name, detail in results if detail is not None]
    failed += [f"{name}: was not made" for name in sorted(CHECKS - {name for name, _ in results})]
    if failed:
        raise StreamError("; ".join(failed))
    return [name for name, _ in results]


def ask(stream, command):
    """The one line that answers `attest`, `document`, `orphans` or `step-clock`."""
    with stream:
        _command(stream, command)
        return stream.read_line()


def end(stream, command):
    """`exit <code>`, `abort`, `panic` or `poweroff`: returns when the connection ends."""
    with stream:
        _command(stream, command)
        try:
            answer = stream.read(CHUNK)
        except OSError:  # reset: the machine is gone
            return
    if answer:
        raise StreamError(f"{command}: {answer!r}")


def parallel(open_stream, n, count, command=echo):
    """`n` connections at once, each with `count` bytes and a seed of its own."""
    errors = []

    def run(number):
        try:
            command(open_stream(), count, seed=number + 1)
        except (StreamError, OSError) as error:
            errors.append(f"stream {number}: {error}")

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise StreamError(f"{len(errors)} of {n} failed: " + "; ".join(errors[:5]))
