# SPDX-License-Identifier: Apache-2.0
"""The program `carve` (bench/carve.cpp) in a throw-away host, with each kind of pages. What it leaves out of a real
carve is alcoved between the VMM and the enclave's shim: two datagrams there and two back, and a row in a database."""
from .bench import Sample
from .throwaway_host import Payload, run_inside

PAGES = (4096, 2 << 20)
GUESTS = ("pages.elf", "sweep.elf")

SCRIPT = r"""
export ALCOVE_TEST_FILES=/run/payload
mount -t debugfs debugfs /sys/kernel/debug
what=$1 count=$2
shift 2
for mib; do
    for page in 4096 2097152; do
        # The primary, the region once more on each side of the floor, and a chunk.
        [ "$page" = 4096 ] || echo $((64 + 64 + 3 * mib)) > /proc/sys/vm/nr_hugepages
        echo "run $page $mib"
        /run/payload/carve "$what" "$page" "$mib" "$count" || exit 1
        echo 0 > /proc/sys/vm/nr_hugepages
    done
done
"""


def run_carve(setup, what, count, sizes_mib):
    """The numbers of each line that the program printed: {(page, MiB): {word: [numbers, ...]}}."""
    payload = Payload(setup)
    payload.add_program(setup.build / "bench/carve")
    for guest in GUESTS:
        payload.add(setup.build / "guests" / guest)
    found = {}
    for word, rest in run_inside(setup, payload, SCRIPT, what, count, *sizes_mib):
        numbers = tuple(map(int, rest.split()))
        if word == "run":
            run = found.setdefault(numbers, {})
        else:
            run.setdefault(word, []).append(numbers)
    return found


def by_page(found, mib):
    """Of runs with one size: {"4096": lines, ...}."""
    return {str(page): found[page, mib] for page in PAGES}


def cost_samples(setup, mib, ratio):
    """`ratio` gets the four times of a round by name; a sample's value is that of the kind of pages with the larger."""
    runs = by_page(run_carve(setup, "cost", setup.pairs + 1, [mib]), mib)
    samples = []
    for i in range(1, setup.pairs + 1):  # the first warms the caches
        raw = {page: dict(zip(("add", "free", "read", "floor"), lines["cost"][i])) for page, lines in runs.items()}
        samples.append(Sample(max(ratio(**times) for times in raw.values()), {"unit": "ns", "by_page": raw}))
    return samples
