# SPDX-License-Identifier: Apache-2.0
"""ECDSA P-384 signatures a second of the openssl program: what a document costs at the least."""

COMMAND = ["openssl", "speed", "-elapsed", "-seconds", "3", "ecdsap384"]


def signatures_per_second(output):
    """From what COMMAND prints."""
    line = [line for line in output.splitlines() if "ecdsa" in line and "nistp384" in line][-1]
    return float(line.split()[-2])
