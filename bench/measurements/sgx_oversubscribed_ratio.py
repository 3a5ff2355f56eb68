# SPDX-License-Identifier: Apache-2.0
"""An enclave that goes through nearly all of 2 MiB of EPC, with half of it in memory against all of it: speed of the one over
speed of the other, both timed in the guest. In order, again and again, which the clock's hand likes least, and in random
order; a visit goes through all of its page, eight bytes at a time, and every other one writes it. Static and oversubscribed
machines take turns; the value is that of both sweeps together. Evictions are those for each page that was visited."""
from .bench import Bench, Sample
from .sgx_unikernel import run_unikernel

BUDGET_MIB = 1
ORDERS = ("sequential", "random")


def measure(setup):
    runs = run_unikernel(setup, ["sweep", ("sweep", BUDGET_MIB)] * setup.pairs)
    samples = []
    for static, oversubscribed in zip(runs[::2], runs[1::2]):
        raw = {"unit": "cycles", "visits": static["visits"]}
        for i, order in enumerate(ORDERS):
            first, last = oversubscribed.marks[4 + 2 * i:6 + 2 * i]
            raw[order] = {"ours": oversubscribed[order], "theirs": static[order],
                          "ratio": round(static[order] / oversubscribed[order], 4),
                          "evictions_per_touched_page": round((last[2] - first[2]) / static["visits"], 3)}
        value = sum(static[order] for order in ORDERS) / sum(oversubscribed[order] for order in ORDERS)
        samples.append(Sample(value, raw))
    return samples


BENCH = Bench("sgx_oversubscribed_ratio", measure, at_least=0.3)
