#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Both halves of the stream tests against each other, without an enclave: stream_check_test.py PROBE"""

import hashlib
import subprocess
import sys
import unittest

import stream_check

PROBE = sys.argv.pop(1)
open_probe = stream_check.process_opener([PROBE, "stdio"], timeout=60)


def faulty(script):
    """A process that is no probe."""
    program = "import sys; i, o = sys.stdin.buffer, sys.stdout.buffer\n" + script
    return stream_check.process_stream([sys.executable, "-c", program], 60)


class StreamCheck(unittest.TestCase):
    def test_pattern_is_a_whole_number_of_bytes_and_repeats(self):
        whole = b"".join(stream_check.pattern_chunks(5, 200000))
        self.assertEqual(len(whole), 200000)
        self.assertEqual(whole[:1000], whole[stream_check.PERIOD:][:1000])
        self.assertEqual(stream_check.pattern_sha256(5, 200000), hashlib.sha256(whole).hexdigest())

    def test_streams_of_all_sizes_pass(self):
        for count in (0, 1, 65520, 65521, 65536, 1000000):
            stream_check.echo(open_probe(), count)
            stream_check.sink(open_probe(), count)
            stream_check.source(open_probe(), count, seed=7)

    def test_parallel_streams_pass(self):
        for command in (stream_check.echo, stream_check.sink, stream_check.source):
            stream_check.parallel(open_probe, 8, 300000, command)

    def test_lost_bytes_are_found(self):
        with self.assertRaisesRegex(stream_check.StreamError, "came instead of"):
            stream_check.echo(faulty("i.readline(); o.write(i.read()[:-1])"), 1000)

    def test_changed_bytes_are_found(self):
        with self.assertRaisesRegex(stream_check.StreamError, "not those"):
            stream_check.echo(faulty("i.readline(); d = i.read(); o.write(d[4096:8192] + d[:4096])"), 8192)
        with self.assertRaisesRegex(stream_check.StreamError, "1 of 1 failed"):
            stream_check.parallel(lambda: faulty("i.read(); o.write(b'10 00\\n')"), 1, 10, stream_check.sink)

    def test_refusals_are_errors(self):
        with self.assertRaisesRegex(stream_check.StreamError, "FAILED"):
            stream_check.end(open_probe(), "exit 256")
        with self.assertRaisesRegex(stream_check.StreamError, "describe_nsm: was not made"):
            stream_check.check_report(open_probe())
        nearly = "".join(f"ok {check}\\n" for check in stream_check.CHECKS - {"hwrng"})
        with self.assertRaisesRegex(stream_check.StreamError, "^hwrng: was not made$"):
            stream_check.check_report(faulty(f"i.readline(); o.write(b'{nearly}done\\n')"))

    def test_report_is_taken_apart(self):
        script = "i.readline(); o.write(b'ok a\\nFAILED b went wrong\\ndone\\n')"
        self.assertEqual(stream_check.report(faulty(script)), [("a", None), ("b", "went wrong")])
        with self.assertRaisesRegex(stream_check.StreamError, "b: went wrong"):
            stream_check.check_report(faulty(script))
        with self.assertRaisesRegex(stream_check.StreamError, "no end"):
            stream_check.report(faulty("i.readline(); o.write(b'ok a\\n')"))

    def test_exit_ends_the_program_with_its_code(self):
        self.assertEqual(subprocess.run([PROBE, "stdio"], input=b"exit 7\n", check=False).returncode, 7)
        self.assertEqual(subprocess.run([PROBE, "stdio"], input=b"abort\n", check=False).returncode, -6)


if __name__ == "__main__":
    unittest.main()
