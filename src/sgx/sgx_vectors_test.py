#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Enclaves measured and signed by other code than ours: hashlib, cryptography and Python's integers.

One half measures and signs random enclaves here and lets our engine build them; the other lets our program sign
and checks it here; and a report made inside is checked with the key that its target gets.

Usage: sgx_vectors_test.py PROBE    (PROBE is alcove_sgx_probe)
"""

import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import cmac, hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.ciphers import algorithms
except ImportError as missing:
    print(f"SKIPPED: {missing} (needs python3-cryptography)")
    sys.exit(SKIPPED)

PROBE = ""
PAGE = 4096
BASE = 0x7F00_0000_0000
R, W, X = 1, 2, 4
REG, TCS = 2 << 8, 1 << 8
MODE64BIT, DEBUG = 4, 2
INVALID_MEASUREMENT, INVALID_SIGNATURE = 4, 8


def key_of_exponent_three():
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


KEY = key_of_exponent_three()


# --- the structures, once more ------------------------------------------------------------------------------


def secs(size, frame_pages=1, flags=MODE64BIT, xfrm=3, miscselect=0):
    head = struct.pack("<QQII24xQQ", size, BASE, frame_pages, miscselect, flags, xfrm)
    return head.ljust(PAGE, b"\0")


def tcs(ossa, oentry, nssa=1):
    return struct.pack("<QQQIIQQQQII", 0, 0, ossa, 0, nssa, oentry, 0, 0, 0, 0xFFF, 0xFFF).ljust(PAGE, b"\0")


class Enclave:
    """Pages of (offset, flags, chunk mask, contents), and what they measure."""

    def __init__(self, size, frame_pages=1, **secs_fields):
        self.size, self.frame_pages = size, frame_pages
        self.secs = secs(size, frame_pages, **secs_fields)
        self.secs_fields = secs_fields
        self.pages = []

    def add(self, offset, flags, contents, chunks=0xFFFF):
        self.pages.append((offset, flags, chunks, contents.ljust(PAGE, b"\0")))

    def mrenclave(self):
        log = hashlib.sha256(b"ECREATE\0" + struct.pack("<IQ", self.frame_pages, self.size) + bytes(44))
        for offset, flags, chunks, contents in self.pages:
            effective = flags & ~(R | W | X) if flags & 0xFF00 == TCS else flags
            log.update(b"EADD\0\0\0\0" + struct.pack("<QQ", offset, effective) + bytes(40))
            for chunk in range(16):
                if chunks >> chunk & 1:
                    at = chunk * 256
                    log.update(b"EEXTEND\0" + struct.pack("<Q", offset + at) + bytes(48))
                    log.update(contents[at : at + 256])
        return log.digest()

    def file(self, sigstruct):
        pages = b"".join(struct.pack("<QQH", o, f, c) + data for o, f, c, data in self.pages)
        return self.secs + sigstruct + pages


def signed_parts(mrenclave, flags=MODE64BIT, xfrm=3, miscselect=0, date=0x20240131):
    first = bytes.fromhex("06000000E10000000000010000000000")
    first += struct.pack("<II", 0, date) + bytes.fromhex("01010000600000006000000001000000") + struct.pack("<I", 0)
    first = first.ljust(128, b"\0")
    mask = 2**64 - 1 - DEBUG
    second = struct.pack("<II4x16x", miscselect, 0xFFFFFFFF) + struct.pack("<QQQQ", flags, xfrm, mask, 2**64 - 1)
    second += mrenclave + bytes(16) + bytes(16) + struct.pack("<HH", 11, 22)
    assert len(first) == 128 and len(second) == 128
    return first, second


def sigstruct(mrenclave, key=None, **fields):
    key = key or KEY
    first, second = signed_parts(mrenclave, **fields)
    n = key.public_key().public_numbers().n
    s = int.from_bytes(key.sign(first + second, padding.PKCS1v15(), hashes.SHA256()), "big")
    q1 = s * s // n
    q2 = (s**3 - q1 * s * n) // n
    number = lambda value: value.to_bytes(384, "little")
    return first + number(n) + struct.pack("<I", 3) + number(s) + second + bytes(12) + number(q1) + number(q2)


def mrsigner(key):
    return hashlib.sha256(key.public_key().public_numbers().n.to_bytes(384, "little")).digest()


def run(*arguments):
    done = subprocess.run([PROBE, *arguments], capture_output=True, text=True, check=True)
    return [line.split(" ", 1) for line in done.stdout.splitlines()]


def build(enclave, signature):
    with tempfile.NamedTemporaryFile(suffix=".enclave") as file:
        file.write(enclave.file(signature))
        file.flush()
        return run("build", file.name)


def small_enclave(**secs_fields):
    enclave = Enclave(16 * PAGE, **secs_fields)
    enclave.add(0, TCS, tcs(PAGE, 2 * PAGE))
    enclave.add(PAGE, REG | R | W, b"")
    enclave.add(2 * PAGE, REG | R | X, b"\xcc" * PAGE)
    enclave.add(3 * PAGE, REG | R | W, b"data", chunks=0)
    return enclave


def random_enclave(seed):
    chance = random.Random(seed)
    pages = chance.randrange(2, 30)
    enclave = Enclave(chance.choice([32, 64, 1024]) * PAGE, chance.choice([1, 2, 5]))
    for offset in chance.sample(range(32), pages):
        flags = chance.choice([REG | R, REG | R | W, REG | R | X, REG | R | W | X, REG, TCS])
        contents = tcs(PAGE, 0) if flags == TCS else chance.randbytes(PAGE)
        enclave.add(offset * PAGE, flags, contents, chance.choice([0, 0xFFFF, 1, 0x8000, chance.randrange(0x10000)]))
    return enclave


# --- tests ---------------------------------------------------------------------------------------------------


class Vectors(unittest.TestCase):
    def test_measurements_and_signatures_made_here_are_accepted(self):
        for seed in range(25):
            with self.subTest(seed=seed):
                enclave = random_enclave(seed)
                output = build(enclave, sigstruct(enclave.mrenclave()))
                self.assertTrue(all(value == "0" for name, value in output if name in ("ecreate", "eadd", "eextend")))
                results = dict(output)
                self.assertEqual(results["einit"], "0")
                self.assertEqual(results["mrenclave"], enclave.mrenclave().hex())
                self.assertEqual(results["mrsigner"], mrsigner(KEY).hex())

    def test_any_other_measurement_is_refused(self):
        enclave = small_enclave()
        wrong = bytearray(enclave.mrenclave())
        wrong[31] ^= 1
        self.assertEqual(dict(build(enclave, sigstruct(bytes(wrong))))["einit"], str(INVALID_MEASUREMENT))

    def test_changes_of_the_signed_parts_and_numbers_are_refused(self):
        enclave = small_enclave()
        good = sigstruct(enclave.mrenclave())
        chance = random.Random(1)
        # DATE, SWDEFINED, MODULUS, SIGNATURE, what is signed behind, Q1, Q2.
        ranges = [(20, 24), (40, 44), (128, 512), (516, 900), (900, 908), (928, 992), (1008, 1028), (1040, 1424), (1424, 1808)]
        for start, end in ranges:
            for _ in range(3):
                changed = bytearray(good)
                changed[chance.randrange(start, end)] ^= 1 << chance.randrange(8)
                with self.subTest(start=start):
                    self.assertEqual(dict(build(enclave, bytes(changed)))["einit"], str(INVALID_SIGNATURE))

    def test_another_keys_signature_is_refused(self):
        enclave = small_enclave()
        other = sigstruct(enclave.mrenclave(), key_of_exponent_three())
        mixed = sigstruct(enclave.mrenclave())
        mixed = mixed[:128] + other[128:512] + mixed[512:]
        self.assertEqual(dict(build(enclave, mixed))["einit"], str(INVALID_SIGNATURE))

    def test_what_our_program_signs_verifies_here(self):
        enclave = small_enclave()
        first, second = signed_parts(enclave.mrenclave())
        blank = first + bytes(384 + 4 + 384) + second + bytes(12 + 768)
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("key.pem", "blank", "signed")]
            with open(paths[0], "wb") as file:
                file.write(
                    KEY.private_bytes(
                        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                    )
                )
            with open(paths[1], "wb") as file:
                file.write(blank)
            run("sign", *paths)
            with open(paths[2], "rb") as file:
                signed = file.read()
        self.assertEqual(signed, sigstruct(enclave.mrenclave()))  # PKCS #1 v1.5 is deterministic
        signature = signed[516:900][::-1]
        KEY.public_key().verify(signature, signed[:128] + signed[900:1028], padding.PKCS1v15(), hashes.SHA256())
        with self.assertRaises(InvalidSignature):
            KEY.public_key().verify(signature, signed[:128] + bytes(128), padding.PKCS1v15(), hashes.SHA256())

    def test_a_report_is_signed_with_the_key_its_target_gets(self):
        enclave = small_enclave(flags=MODE64BIT | DEBUG)
        output = dict(build(enclave, sigstruct(enclave.mrenclave())))
        for step in ("einit", "eenter", "ereport", "egetkey"):
            self.assertEqual(output[step], "0")
        report, key = bytes.fromhex(output["report"]), bytes.fromhex(output["key"])
        self.assertEqual(len(report), 432)
        self.assertEqual(report[64:96], enclave.mrenclave())
        self.assertEqual(report[128:160], mrsigner(KEY))
        self.assertEqual(struct.unpack_from("<QQ", report, 48), (MODE64BIT | DEBUG | 1, 3))
        self.assertEqual(struct.unpack_from("<HH", report, 256), (11, 22))
        check = cmac.CMAC(algorithms.AES(key))
        check.update(report[:384])
        check.verify(report[416:432])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__)
        sys.exit(2)
    PROBE = os.path.abspath(sys.argv.pop())
    unittest.main()
