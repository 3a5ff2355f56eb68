# SPDX-License-Identifier: Apache-2.0
"""Finds private keys in a process's memory.

A P-384 key is 48 bytes that make its public point; OpenSSL keeps them as machine words, a file as DER. So every 48
bytes that look random are tried, in both orders of bytes, as the private half of the public keys given."""
from cryptography.hazmat.primitives.asymmetric import ec

SCALAR = 48
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
# 48 random bytes have 43.7 different values on average, and fewer than 36 once in some ten million times.
DISTINCT = 36


def candidates(memory):
    """The windows of `memory` that may be a key. Keys in memory are aligned to words; in DER (a file read whole) to
    nothing, but behind the length of an octet string, 04 30."""
    for offset in range(0, len(memory) - SCALAR + 1, 8):
        window = memory[offset:offset + SCALAR]
        if len(set(window)) >= DISTINCT:
            yield window
    at = memory.find(b"\x04\x30")
    while at != -1:
        yield memory[at + 2:at + 2 + SCALAR]
        at = memory.find(b"\x04\x30", at + 1)


def keys_in(memory, public_keys):
    """The positions of those public keys (cryptography's objects) whose private half is in `memory`."""
    points = {(key.public_numbers().x, key.public_numbers().y): at for at, key in enumerate(public_keys)}
    found = set()
    tried = set()
    for window in candidates(memory):
        for order in ("little", "big"):
            number = int.from_bytes(window, order)
            if not 0 < number < ORDER or number in tried:
                continue
            tried.add(number)
            point = ec.derive_private_key(number, ec.SECP384R1()).public_key().public_numbers()
            if (point.x, point.y) in points:
                found.add(points[point.x, point.y])
    return sorted(found)
