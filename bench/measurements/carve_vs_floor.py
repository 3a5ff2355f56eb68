# SPDX-License-Identifier: Apache-2.0
"""SLOT_ADD_MEM of 256 MiB, all written, against fallocate, memcpy and punch of as much on the same host: from the
command at the VMM to its reply there. The value is that of the kind of pages with which we do worse."""
from .bench import Bench
from .carving import cost_samples


def measure(setup):
    return cost_samples(setup, 256, lambda add, free, read, floor: add / floor)


BENCH = Bench("carve_vs_floor", measure, at_most=1.3)
