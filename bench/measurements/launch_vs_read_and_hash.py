# SPDX-License-Identifier: Apache-2.0
"""`alcove enclave run` of a 256 MiB image, from its exec to the first guest instruction, against `cat IMAGE` and
`openssl dgst -sha384 IMAGE`, one after the other. The daemon is up and the image in memory (a tmpfs).

The image is a guest of a few instructions and a ramdisk of random bytes, which counts for PCR0 and PCR2 and so is
hashed twice. All times are from one clock, the kernel's trace: a script marks each beginning and end, and the first
port access of the guest (kvm_pio: its fifth instruction, on the serial port) is recorded by KVM itself. `run
--no-wait` would not do: it returns when the reservation is booked, long before the guest runs. So `run` waits as it
does for everybody, for a heartbeat that never comes because the guest resets its machine at once; what happens after
the first port access does not count.

The stages that the daemon tells (docs/api.md, monotonic_ns) are in the samples, in ms after the exec."""
import json
import re

from .alcove_inside import add_alcove, build_image
from .bench import Bench, BenchError, pair
from .throwaway_host import Payload, run_inside

IMAGE_BYTES = 256 << 20

SCRIPT = r"""
. /run/payload/alcove
cp /run/payload/image.eif /tmp/image.eif || exit 1

trace=/sys/kernel/tracing
[ -e $trace/trace ] || mount -t tracefs tracefs $trace || die "no tracefs"
echo mono > $trace/trace_clock
echo 1 > $trace/events/kvm/kvm_pio/enable || die "KVM can not be traced"
mark() { echo "mark $1" > $trace/trace_marker; }

for i in $(seq "$1"); do
    echo > $trace/trace
    mark run
    alcove enclave run /tmp/image.eif --cpus 2 --name "launched-$i" > /dev/null 2> /run/run.log
    code=$?
    mark ran
    [ $code -eq 4 ] || die "run ended with $code: $(cat /run/run.log)"
    mark cat
    /run/payload/cat /tmp/image.eif > /dev/null
    mark openssl
    /run/payload/openssl dgst -sha384 /tmp/image.eif > /dev/null
    mark hashed
    echo "round $i"
    echo "stages $(json enclave inspect "launched-$i" monotonic_ns)"
    grep -v '^#' $trace/trace | awk '/mark/ || !pio++'
    alcove enclave remove "launched-$i" > /dev/null
done
"""

# "  sh-123  [000] .....  12.345678: tracing_mark_write: mark run"
TRACE_LINE = re.compile(r"\s(\d+\.\d+): (tracing_mark_write: mark (\w+)|kvm_pio: )")


def build_launch_image(setup, output):
    application = setup.work / "application"
    application.mkdir()
    # The rest is the header, the guest and our init.
    with open("/dev/urandom", "rb") as source, open(application / "data", "wb") as target:
        target.write(source.read(IMAGE_BYTES - (1 << 20)))
    (application / "data").chmod(0o755)
    build_image(setup, output, ["--kernel", setup.build / "guests/hello.elf", "--modules", "none", "--directory", application,
                                "--cmd", "/data"])


def read_rounds(lines):
    """Seconds of each event, and the daemon's stages, by round."""
    rounds = []
    for line in lines:
        if line[0] == "round":
            rounds.append({"events": {}})
        elif line[0] == "stages":
            rounds[-1]["stages"] = json.loads(line[1])
        elif found := TRACE_LINE.search(" ".join(line)):
            rounds[-1]["events"].setdefault(found[3] or "first_instruction", float(found[1]))
    return rounds


def sample(events, stages):
    if "first_instruction" not in events:
        raise BenchError("KVM recorded no port access of the guest")
    ours = events["first_instruction"] - events["run"]
    theirs = events["hashed"] - events["cat"]
    told = {name: round(ns / 1e6 - events["run"] * 1e3, 1) for name, ns in stages.items() if ns is not None}
    return pair(ours, theirs, unit="s", cat=events["openssl"] - events["cat"], ended=events["ran"] - events["run"], stages_ms=told)


def measure(setup):
    payload = Payload(setup)
    add_alcove(payload, setup)
    build_launch_image(setup, payload.folder / "image.eif")
    payload.add_installed("cat")
    payload.add_installed("openssl")
    lines = run_inside(setup, payload, SCRIPT, setup.pairs + 1)
    return [sample(**one) for one in read_rounds(lines)[1:]]  # the first warms the caches


BENCH = Bench("launch_vs_read_and_hash", measure, at_most=1.5)
