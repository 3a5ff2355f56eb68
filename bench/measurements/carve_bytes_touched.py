# SPDX-License-Identifier: Apache-2.0
"""Bytes that our code copies, and that it has the kernel clear, to carve a region, all written, and to free it, counted
in that code, by the region's size. The value is the largest sum of the two, over sizes, both directions and both kinds
of pages."""
from .bench import Bench, Sample
from .carving import run_carve

SIZES_MIB = (2, 32, 256)


def measure(setup):
    runs = run_carve(setup, "cost", setup.pairs, SIZES_MIB)
    samples = []
    for i in range(setup.pairs):
        raw = {}
        for (page, mib), lines in runs.items():
            numbers = [touched / (mib << 20) for touched in lines["touched"][i]]
            raw[f"{page}, {mib} MiB"] = {way: dict(zip(("copied", "cleared"), pair))
                                         for way, pair in (("add", numbers[:2]), ("free", numbers[2:]))}
        touched = [sum(way.values()) for one in raw.values() for way in one.values()]
        samples.append(Sample(max(touched), {"by_page_and_size": raw}))
    return samples


BENCH = Bench("carve_bytes_touched", measure, at_most=1.0)
