# SPDX-License-Identifier: Apache-2.0
"""Half an ecall (EENTER and EEXIT, nothing between), in plain exits to user space of the same VM, both timed in the guest."""
from .bench import Bench
from .sgx_unikernel import timed_samples


def measure(setup):
    return timed_samples(setup, "half ecalls")


BENCH = Bench("sgx_half_ecall_vs_exit", measure, at_most=4.0)
