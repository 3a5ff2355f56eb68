#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures and signs the enclave of enclave.S inside a linked program, in place.

Usage: sign_enclave.py PROGRAM    (an ELF file with symbols; nm and openssl are used)

The key is made for this one signature and thrown away: launch control of the VM it runs in is open.
Source of the formats: SDM vol. 3D, "EINIT", "Enclave Signature Structure (SIGSTRUCT)".
"""

import hashlib
import re
import struct
import subprocess
import sys
import tempfile

PAGE = 4096
RIGHTS = 7
TCS = 1 << 8
ATTRIBUTES_MODE64BIT, ATTRIBUTES_DEBUG, ATTRIBUTES_PROVISIONKEY = 4, 2, 16
FREE_ATTRIBUTES = ATTRIBUTES_DEBUG | ATTRIBUTES_PROVISIONKEY  # whoever builds it has the choice
XFRM = 3
MODULUS = slice(128, 512)


class Elf:
    def __init__(self, path):
        self.path = path
        self.bytes = bytearray(open(path, "rb").read())
        names = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        self.symbols = {line.split()[-1]: int(line.split()[0], 16) for line in names.splitlines() if line[0] != " "}
        offset, size, count = struct.unpack_from("<Q14xHH", self.bytes, 32)
        self.segments = [struct.unpack_from("<IIQQQQ", self.bytes, offset + size * i) for i in range(count)]

    def place(self, address):
        for kind, _, offset, virtual, _, size in self.segments:
            if kind == 1 and virtual <= address < virtual + size:
                return offset + address - virtual
        raise ValueError(f"{address:#x} is not in the file")

    def read(self, address, size):
        at = self.place(address)
        return bytes(self.bytes[at : at + size])

    def write(self, symbol, data):
        at = self.place(self.symbols[symbol])
        self.bytes[at : at + len(data)] = data


def measure(elf):
    layout = elf.symbols["enclave_layout"]
    size, frame_pages, count = struct.unpack("<QQQ", elf.read(layout, 24))
    log = hashlib.sha256(b"ECREATE\0" + struct.pack("<IQ", frame_pages, size) + bytes(44))
    for i in range(count):
        source, offset, flags = struct.unpack("<QQQ", elf.read(layout + 24 + 24 * i, 24))
        effective = flags & ~RIGHTS if flags & TCS else flags
        log.update(b"EADD\0\0\0\0" + struct.pack("<QQ", offset, effective) + bytes(40))
        contents = elf.read(source, PAGE)
        for at in range(0, PAGE, 256):
            log.update(b"EEXTEND\0" + struct.pack("<Q", offset + at) + bytes(48) + contents[at : at + 256])
    return log.digest()


def sign(message):
    """The signature and the modulus, as numbers."""
    with tempfile.TemporaryDirectory() as folder:
        key, text = f"{folder}/key.pem", f"{folder}/message"
        subprocess.run(["openssl", "genrsa", "-3", "-out", key, "3072"], check=True, capture_output=True)
        open(text, "wb").write(message)
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", key, text], check=True, capture_output=True
        ).stdout
        modulus = subprocess.run(
            ["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True, text=True
        ).stdout
    return int.from_bytes(signature, "big"), int(re.search("=([0-9A-F]+)", modulus)[1], 16)


def sigstruct(mrenclave):
    first = bytes.fromhex("06000000E10000000000010000000000") + struct.pack("<II", 0, 0x20240101)
    first += bytes.fromhex("01010000600000006000000001000000") + bytes(4)
    first = first.ljust(128, b"\0")
    attributes = struct.pack("<QQQQ", ATTRIBUTES_MODE64BIT, XFRM, 2**64 - 1 - FREE_ATTRIBUTES, 2**64 - 1)
    second = struct.pack("<II", 0, 0xFFFFFFFF) + bytes(20) + attributes + mrenclave + bytes(32) + struct.pack("<HH", 1, 1)
    s, n = sign(first + second)
    q1 = s * s // n
    q2 = (s**3 - q1 * s * n) // n
    number = lambda value: value.to_bytes(384, "little")
    return first + number(n) + struct.pack("<I", 3) + number(s) + second + bytes(12) + number(q1) + number(q2)


def main():
    elf = Elf(sys.argv[1])
    signed = sigstruct(measure(elf))
    elf.write("enclave_sigstruct", signed)
    elf.write("enclave_mrsigner", hashlib.sha256(signed[MODULUS]).digest())
    open(elf.path, "wb").write(elf.bytes)


if __name__ == "__main__":
    main()
