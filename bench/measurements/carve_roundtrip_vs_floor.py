# SPDX-License-Identifier: Apache-2.0
"""SLOT_ADD_MEM and SLOT_FREE of 256 MiB, and then until the guest has read every page of it once, against fallocate,
memcpy and punch of as much, twice. The value is that of the kind of pages with which we do worse."""
from .bench import Bench
from .carving import cost_samples


def measure(setup):
    return cost_samples(setup, 256, lambda add, free, read, floor: (add + free + read) / (2 * floor))


BENCH = Bench("carve_roundtrip_vs_floor", measure, at_most=1.5)
