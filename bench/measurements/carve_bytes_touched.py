# SPDX-License-Identifier: Apache-2.0
"""Bytes that our code copies or clears to carve a region, all written, and to free it, counted in that code, by the
region's size. The value is the largest of the sizes, of both directions and of both kinds of pages."""
from .bench import Bench, Sample
from .carving import run_carve

SIZES_MIB = (2, 32, 256)


def measure(setup):
    runs = run_carve(setup, "cost", setup.pairs, SIZES_MIB)
    samples = []
    for i in range(setup.pairs):
        raw = {f"{page}, {mib} MiB": dict(zip(("add", "free"), (touched / (mib << 20) for touched in lines["touched"][i])))
               for (page, mib), lines in runs.items()}
        samples.append(Sample(max(max(one.values()) for one in raw.values()), {"by_page_and_size": raw}))
    return samples


BENCH = Bench("carve_bytes_touched", measure, at_most=1.0)
