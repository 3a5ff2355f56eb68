# SPDX-License-Identifier: Apache-2.0
"""Round trip of 64 bytes between programs of a primary VM and of its enclave, against one hop of vhost-vsock:
sibling_pair says how. Ours wakes two guests on each round trip, one hop wakes one."""
import pathlib

from .bench import Bench, Sample
from .sibling_pair import measure_pairs


def measure(setup):
    return [Sample(pair["ours"]["round-trip"] / pair["theirs"]["round-trip"], {"unit": "microseconds", **pair})
            for pair in measure_pairs(setup, pathlib.Path(__file__).resolve().parents[2], mib=1)]


BENCH = Bench("sibling_rtt_vs_one_hop", measure, at_most=1.3)
