# SPDX-License-Identifier: Apache-2.0
"""An ENCLS leaf without cryptography, in plain exits to user space (OUT to a port that nobody claims) of the same VM, both
timed in the guest. The leaves are EPA and EREMOVE in turns: each walks the guest's tables, takes the page's latch,
changes the EPCM and clears a page. Beside it in the samples: EBLOCK of a page that is not valid, the least a leaf does."""
from .bench import Bench
from .sgx_unikernel import timed_samples


def measure(setup):
    return timed_samples(setup, "leaves")


BENCH = Bench("sgx_leaf_vs_exit", measure, at_most=3.0)
