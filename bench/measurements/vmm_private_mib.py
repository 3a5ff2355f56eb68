# SPDX-License-Identifier: Apache-2.0
"""What one more enclave costs beside its RAM: the private memory (Private_* of /proc/PID/smaps) of the VMM of the
second VM of an image, after its heartbeat and 64 streams of 1 MiB, open at once, in each direction. The guest's RAM,
a memfd, is left out by its name."""
from .alcove_inside import add_alcove, build_probe_image
from .bench import Bench, Sample
from .throwaway_host import Payload, run_inside

# Core 0 stays with the host; two enclaves take a core each, and one is free for the rest.
SMP = "8,sockets=1,cores=4,threads=2"

SCRIPT = r"""
. /run/payload/alcove

# private PID: KiB of each kind of mapping, and of all but the guest's RAM
private() {
    awk '
        /^[0-9a-f]+-[0-9a-f]+ / { name = $6 == "" ? "anonymous" : $6; sub(".*/", "", name) }
        /^Private_(Clean|Dirty|Hugetlb):/ { kib[name] += $2; if (name !~ /^memfd:alcove-ram/) sum += $2 }
        END { print "private", sum; for (name in kib) if (kib[name] > 0) print "mapping", kib[name], name }
    ' "/proc/$1/smaps"
}

alcove enclave run /run/payload/image.eif --cpus 2 --memory 512M --name first > /dev/null || die "the first does not run"
for i in $(seq "$1"); do
    alcove enclave run /run/payload/image.eif --cpus 2 --memory 512M --name second > /dev/null || die "the second does not run"
    socket=$(alcove enclave inspect second sockets.connect)
    pid=$(alcove enclave inspect second vmm.pid)
    [ "$(cat "/proc/$pid/comm")" = alcove-vmm ] || die "$pid is no VMM"
    for direction in to-guest from-guest; do
        /run/payload/stream_rate "$socket" 6000 "$direction" 1 64 > /dev/null || die "the streams fail"
    done
    echo "sample $i"
    private "$pid"
    alcove enclave stop second > /dev/null && alcove enclave remove second > /dev/null || die "the second does not stop"
done
"""


def measure(setup):
    payload = Payload(setup)
    add_alcove(payload, setup)
    build_probe_image(setup, payload.folder / "image.eif")
    payload.add_program(setup.build / "bench/stream_rate")
    lines = run_inside(setup, payload, SCRIPT, setup.pairs, smp=SMP)
    samples = []
    for word, rest in lines:
        if word == "private":
            samples.append(Sample(int(rest) / 1024, {"mappings_kib": {}}))
        elif word == "mapping":
            kib, name = rest.split(" ", 1)
            samples[-1].raw["mappings_kib"][name] = int(kib)
    return samples


BENCH = Bench("vmm_private_mib", measure, unit="MiB", at_most=5)
