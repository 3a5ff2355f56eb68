# SPDX-License-Identifier: Apache-2.0
"""One function (multiplications, shifts, loads and stores) inside an enclave against the same in ring 3 outside, about a
second each, one after the other, timed in the guest: speed inside over speed outside."""
from .bench import Bench, pair
from .sgx_unikernel import run_unikernel


def measure(setup):
    # Speed is what is compared, so time is upside down.
    return [pair(run["compute outside"], run["compute inside"], unit="cycles, outside and inside")
            for run in run_unikernel(setup, ["compute"] * setup.pairs)]


BENCH = Bench("sgx_compute_ratio", measure, at_least=0.97)
