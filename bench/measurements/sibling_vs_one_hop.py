# SPDX-License-Identifier: Apache-2.0
"""Primary VM <-> enclave throughput over one stream in messages of 64 KiB, against one hop of vhost-vsock: sibling_pair
says how. The value is that of the direction in which we do worse."""
import pathlib

from .bench import Bench, Sample
from .sibling_pair import measure_pairs


def measure(setup):
    return [Sample(min(pair["ours"][way] / pair["theirs"][way] for way in ("to-guest", "from-guest")),
                   {"unit": "MiB/s", **pair})
            for pair in measure_pairs(setup, pathlib.Path(__file__).resolve().parents[2])]


BENCH = Bench("sibling_vs_one_hop", measure, at_least=0.8)
