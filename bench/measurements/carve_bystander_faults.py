# SPDX-License-Identifier: Apache-2.0
"""Second-level faults of two vCPUs that sweep all memory but 64 MiB of it, after those were carved and after they were
freed, beyond the faults of such sweeps before: KVM's own count (pf_taken). The value is that of the kind of pages, and
of the direction, with more of them."""
from .bench import Bench, Sample
from .carving import by_page, run_carve

MIB = 64


def measure(setup):
    runs = by_page(run_carve(setup, "bystander", setup.pairs, [MIB]), MIB)
    samples = []
    for i in range(setup.pairs):
        raw = {page: dict(zip(("after_add", "after_free"), lines["faults"][i])) for page, lines in runs.items()}
        samples.append(Sample(max(max(one.values()) for one in raw.values()), {"by_page": raw}))
    return samples


BENCH = Bench("carve_bystander_faults", measure, unit="faults", at_most=0)
