# SPDX-License-Identifier: Apache-2.0
"""Documents a second at the attestor alone, against signatures a second of openssl."""
import subprocess

from . import openssl_speed
from .bench import Bench, pair


def measure(setup):
    samples = []
    for i in range(setup.pairs):
        folder = setup.work / f"attestor-{i}"
        folder.mkdir(mode=0o700)
        ours = subprocess.run([setup.build / "bench/document_rate", folder, "3"], check=True, capture_output=True, text=True)
        speed = subprocess.run(openssl_speed.COMMAND, check=True, capture_output=True, text=True)
        samples.append(pair(float(ours.stdout), openssl_speed.signatures_per_second(speed.stdout)))
    return samples


BENCH = Bench("attest_rate_vs_openssl", measure, at_least=0.7)
