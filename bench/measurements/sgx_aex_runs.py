# SPDX-License-Identifier: Apache-2.0
"""Returns of KVM_RUN for one interrupt inside an enclave, the asynchronous exit and the ERESUME behind it: of an enclave
that a timer interrupts several times, less the EENTER and the EEXIT, over the exits that the engine counted."""
from .bench import Bench, Sample
from .sgx_unikernel import run_unikernel


def measure(setup):
    samples = []
    for run in run_unikernel(setup, ["interrupts"] * setup.pairs):
        runs = run.runs_between(4) - 2
        exits = run.marks[5][1] - run.marks[4][1]
        samples.append(Sample(runs / exits, {"runs": runs, "asynchronous_exits": exits}))
    return samples


BENCH = Bench("sgx_aex_runs", measure, unit="runs", at_most=2)
