# SPDX-License-Identifier: Apache-2.0
"""The sections of an enclave image, for a baseline that boots the same kernel and ramdisks. src/eif/spec.hpp has the
layout; nothing is checked, because the image was made a moment ago."""
import struct

KERNEL, COMMAND_LINE, RAMDISK = 1, 2, 3

_COUNT_AT = 26
_OFFSETS_AT = 28
_SECTION_HEADER = struct.Struct(">HHQ")


def read_sections(image):
    """Kind and payload of each section."""
    count, = struct.unpack_from(">H", image, _COUNT_AT)
    sections = []
    for offset in struct.unpack_from(f">{count}Q", image, _OFFSETS_AT):
        kind, _flags, size = _SECTION_HEADER.unpack_from(image, offset)
        begin = offset + _SECTION_HEADER.size
        sections.append((kind, image[begin:begin + size]))
    return sections


def payloads(image, kind):
    return [payload for found, payload in read_sections(image) if found == kind]
