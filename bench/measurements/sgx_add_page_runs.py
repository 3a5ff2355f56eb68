# SPDX-License-Identifier: Apache-2.0
"""Returns of KVM_RUN for EADD of a page and the 16 EEXTEND that measure it: marks of the unikernel around them."""
from .bench import Bench
from .sgx_unikernel import count_samples


def measure(setup):
    return count_samples(setup, lambda run: run.runs_between(0))


BENCH = Bench("sgx_add_page_runs", measure, unit="runs", at_most=17)
