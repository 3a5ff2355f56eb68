# SPDX-License-Identifier: Apache-2.0
"""The unikernel (guests/unikernel) in a throw-away host, by the program `sgx_guest` (bench/sgx_guest.cpp): what it printed,
and its marks."""
import dataclasses

from .bench import BenchError, Sample
from .throwaway_host import Payload, run_inside

EPC_MIB = 2

# The arguments are so many runs, each in quotes.
SCRIPT = r"""
export ALCOVE_TEST_FILES=/run/payload
for arguments; do
    echo "run $arguments"
    /run/payload/sgx_guest $arguments || exit 1
done
"""


@dataclasses.dataclass
class Run:
    words: dict  # what is behind the name on its line, of lines with one number
    marks: list  # (returns of KVM_RUN, asynchronous exits, evictions)

    def __getitem__(self, name):
        if name not in self.words:
            raise BenchError(f"the unikernel said nothing of '{name}'")
        return self.words[name]

    def runs_between(self, first):
        """The second mark's own return does not count."""
        return self.marks[first + 1][0] - self.marks[first][0] - 1


def run_unikernel(setup, runs):
    """Each of `runs` is a command line, or a pair of one and a budget in MiB."""
    payload = Payload(setup)
    payload.add_program(setup.build / "bench/sgx_guest")
    payload.add(setup.build / "guests/unikernel.elf")
    arguments = [f"{run[0]} {EPC_MIB} {run[1]}" if isinstance(run, tuple) else f"{run} {EPC_MIB}" for run in runs]
    done = []
    for word, rest in run_inside(setup, payload, SCRIPT, *arguments):
        if word == "run":
            done.append(Run({}, []))
        elif word == "mark":
            done[-1].marks.append(tuple(map(int, rest.split())))
        else:
            *more, number = f"{word} {rest}".split()
            try:
                done[-1].words[" ".join(more)] = int(number, 16)
            except ValueError:
                pass
    return done


def count_samples(setup, count):
    """The same count of as many runs as there are samples."""
    return [Sample(value, {"runs": value}) for value in map(count, run_unikernel(setup, ["count"] * setup.pairs))]


def timed_samples(setup, what):
    """Cycles of so many of `what`, in so many plain exits to user space that were timed right before."""
    return [Sample(run[what] / run["exits"], {"unit": "cycles", "times": run["times"], "ours": run[what],
                                              "theirs": run["exits"], "idle leaves": run["idle leaves"]})
            for run in run_unikernel(setup, ["time"] * setup.pairs)]
