# SPDX-License-Identifier: Apache-2.0
"""What the commands of the NE device take through everything that is behind it: the primary's VMM, alcoved and its database,
the broker, the enclave's shim and VMM. One carve of 64 MiB: ALLOC, ADD_MEM, ADD_VCPU twice, START, STOP of an enclave that runs,
and FREE; the clock is the guest's, from the command to the reply that it polls for (every 20,000 PAUSEs). The value is all of
them but ADD_MEM, which carve_vs_floor has, in plain exits to user space (OUT to a port that nobody claims) of the same VM; the
samples have each of them."""
from .alcove_inside import add_alcove, build_image
from .bench import Bench, BenchError, Sample
from .throwaway_host import Payload, run_inside

# Core 0 stays with the host; the primary has two cores and gives one away.
SMP = "8,sockets=1,cores=4,threads=2"
ORDERS = {"a": "alloc", "m": "add_mem", "v": "add_vcpu", "s": "start", "x": "stop", "f": "free"}

SCRIPT = r"""
. /run/payload/alcove

alcove vm start parent --kernel /run/payload/carver.elf --ramdisk /run/payload/idle.eif --cpus 4 --memory 128M \
    --cmdline "from=48 to=112 ram=128 clock=1 times=$1 do=pamvvsdxf" > /dev/null || die "the VM does not start"
tries=0
until json vm inspect parent vm.state | grep -q stopped; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || die "the VM does not come to its end"
    sleep 0.5
done
alcove vm logs parent
"""


def measure(setup):
    payload = Payload(setup)
    add_alcove(payload, setup)
    payload.add(setup.build / "guests/carver.elf")
    nothing = setup.work / "nothing"
    nothing.mkdir()
    (nothing / "none").touch(mode=0o755)
    build_image(setup, payload.folder / "idle.eif", ["--kernel", setup.build / "guests/idle.elf", "--modules", "none",
                                                     "--directory", nothing, "--cmd", "/none"])
    lines = run_inside(setup, payload, SCRIPT, setup.pairs, smp=SMP)
    exit_cycles = int(lines.one("exit"))
    taken = {name: [] for name in ORDERS.values()}
    for order, name in ORDERS.items():
        for rc, cycles in lines.numbers(order):
            if rc != 0:
                raise BenchError(f"{name} was answered with {rc:g}")
            taken[name].append(cycles / exit_cycles)
    taken["add_vcpu"] = [(first + second) / 2 for first, second in zip(taken["add_vcpu"][::2], taken["add_vcpu"][1::2])]
    samples = []
    for i in range(setup.pairs):
        one = {name: values[i] for name, values in taken.items()}
        samples.append(Sample(sum(one.values()) + one["add_vcpu"] - one["add_mem"], {"in_exits": one, "exit_cycles": exit_cycles}))
    return samples


BENCH = Bench("carve_orders_in_exits", measure, unit="exits")
