# SPDX-License-Identifier: Apache-2.0
"""Documents a second from inside an enclave, through /dev/nsm to the attestor and one after the other, less what the
guest's exits take, against signatures a second of openssl on the same host.

Where exits are emulated one costs as much as a signature elsewhere, and says nothing about this path; so each return
of KVM_RUN and each doorbell that the VMM counted is taken off, at the time of a plain exit that `alcove host check`
measures in the same host. The ratio with nothing taken off is in the samples as `raw`, and `exits_in_kvm` counts those
exits too that the kernel handles by itself (halts, interrupts), which the VMM does not see."""
from . import openssl_speed
from .alcove_inside import add_alcove, build_probe_image
from .bench import Bench, BenchError, Sample
from .throwaway_host import Payload, run_inside

DOCUMENTS = 200  # a sample

SCRIPT = f"""
speed="/run/payload/{" ".join(openssl_speed.COMMAND)}"
documents={DOCUMENTS}
""" + r"""
. /run/payload/alcove
export ALCOVE_CHECK_GUEST=/run/payload/check.elf

counters() { json enclave inspect ours counters; }
exits_in_kvm() { cat /sys/kernel/debug/kvm/"$(alcove enclave inspect ours vmm.pid)"-*/exits; }
attest() { printf 'attest %s\n' "$1" | alcove enclave connect ours 6000; }

alcove enclave run /run/payload/image.eif --cpus 2 --memory 512M --name ours > /dev/null || die "the enclave does not run"
tries=0
until attest 10 > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 1200 ] || die "the probe does not listen"
    sleep 0.1
done
mount -t debugfs debugfs /sys/kernel/debug
for i in $(seq "$1"); do
    echo "check $(json host check)"
    exits=$(exits_in_kvm)
    echo "before $(counters)"
    echo "attested $(attest $documents)"
    echo "after $(counters)"
    echo "exits $(($(exits_in_kvm) - exits))"
    echo "speed $($speed 2> /dev/null | grep ecdsa)"
done
"""


def plain_exit_seconds(check):
    nanoseconds = check["guest"]["plain_exit_ns"]
    if nanoseconds is None:
        raise BenchError("`alcove host check` did not measure an exit")
    return nanoseconds / 1e9


def count(counters):
    return {name: counters[name]["total"] for name in ("kvm_runs", "queue_notifies", "queue_interrupts", "nsm_documents")}


def sample(check, before, attested, after, exits_in_kvm, speed):
    documents, microseconds = attested
    counted = {name: after[name] - before[name] for name in after}
    exits = counted["kvm_runs"] + counted["queue_notifies"]
    elapsed = microseconds / 1e6
    signatures = openssl_speed.signatures_per_second(speed)
    plain_exit = plain_exit_seconds(check)
    net = elapsed - exits * plain_exit
    return Sample(documents / net / signatures,
                  {"raw": documents / elapsed / signatures, "documents": documents, "elapsed_s": elapsed, "exits": exits,
                   "exits_in_kvm": int(exits_in_kvm), "plain_exit_us": plain_exit * 1e6, "signatures_per_second": signatures,
                   "counted": counted})


def measure(setup):
    payload = Payload(setup)
    add_alcove(payload, setup)
    build_probe_image(setup, payload.folder / "image.eif")
    payload.add(setup.build / "guests/check.elf")
    payload.add_installed("openssl")
    lines = run_inside(setup, payload, SCRIPT, setup.pairs)
    return [sample(*one) for one in zip(lines.json("check"), map(count, lines.json("before")), lines.numbers("attested"),
                                        map(count, lines.json("after")), lines.all("exits"), lines.all("speed"))]


BENCH = Bench("attest_rate_inside_vs_openssl", measure)
