# SPDX-License-Identifier: Apache-2.0
"""All PCRs and the CRC of a 512 MiB image with two ramdisks, against one SHA-384 of the file."""
import shutil
import subprocess
import time

from .alcove_inside import build_image
from .bench import Bench, pair


def timed(command):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def measure(setup):
    application = setup.work / "application"
    application.mkdir()
    with open("/dev/urandom", "rb") as source, open(application / "data", "wb") as target:
        for _ in range(512 - 20):
            target.write(source.read(1 << 20))
    (application / "data").chmod(0o755)
    image = setup.work / "large.eif"
    build_image(setup, image, ["--kernel", "debian", "--directory", application, "--cmd", "/data"])
    shutil.rmtree(application)
    openssl = ["openssl", "dgst", "-sha384", image]
    ours = [setup.build / "bin/alcove", "--quiet", "image", "pcr", image]
    timed(openssl)
    timed(ours)
    return [pair(timed(ours), timed(openssl)) for _ in range(setup.pairs)]


BENCH = Bench("eif_measure_vs_openssl", measure, at_most=1.15)
