# SPDX-License-Identifier: Apache-2.0
"""The whole stack inside a throw-away host, as an installed host has it: alcoved, broker, attestor, and `alcove` to
drive them. A script begins with `. /run/payload/alcove`."""
import os
import pathlib
import subprocess

START_SERVICES = pathlib.Path(__file__).resolve().parents[2] / "testhost/start-services"
PROGRAMS = ("alcove", "alcoved", "alcove-broker", "alcove-attestor", "alcove-shim", "alcove-vmm")

PRELUDE = r"""
export PATH=/usr/bin:/usr/sbin
cp /run/payload/bin/* /usr/bin/
sh /run/payload/start-services < /dev/null > /run/services.log 2>&1

die() { echo "$*" >&2; cat /run/services.log >&2; exit 1; }
alcove() { /usr/bin/alcove --host local --quiet "$@"; }
json() { alcove --json "$@" | tr -d '\n'; }  # in one line

tries=0
until alcove --json host status 2> /dev/null | grep -q '"connected": *true'; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || die "alcoved or its broker did not start"
    sleep 0.1
done
"""


def add_alcove(payload, setup):
    for program in PROGRAMS:
        payload.add_program(setup.build / "bin" / program, f"bin/{program}")
    payload.add(START_SERVICES)
    payload.write("alcove", PRELUDE)


def build_image(setup, output, arguments):
    subprocess.run([setup.build / "bin/alcove", "--quiet", "image", "build", "--output", output, *arguments], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "ALCOVE_KERNEL_ROOT": str(setup.kernel_root)})


def build_probe_image(setup, output):
    """Debian's kernel, our init, and the probe, which serves streams on vsock port 6000."""
    application = setup.work / "probe"
    application.mkdir()
    (application / "probe").write_bytes((setup.build / "guests/probe").read_bytes())
    (application / "probe").chmod(0o755)
    build_image(setup, output, ["--kernel", "debian", "--directory", application, "--cmd", "/probe", "vsock"])
