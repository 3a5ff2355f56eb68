# SPDX-License-Identifier: Apache-2.0
"""Returns of KVM_RUN for one EENTER and the EEXIT that answers it, page tables warm: marks of the unikernel around them."""
from .bench import Bench
from .sgx_unikernel import count_samples


def measure(setup):
    return count_samples(setup, lambda run: run.runs_between(2))


BENCH = Bench("sgx_ecall_runs", measure, unit="runs", at_most=2)
