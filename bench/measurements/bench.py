# SPDX-License-Identifier: Apache-2.0
"""What a bench is, and what comes of one: samples, their median against a target."""
import dataclasses
import pathlib
import statistics
import typing


class BenchError(Exception):
    """A measurement that could not be made; says why."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a measurement is given."""
    build: pathlib.Path  # a release build
    kernel_root: pathlib.Path  # an extracted Debian kernel package
    pairs: int  # samples to take
    work: pathlib.Path  # an empty folder of its own, removed afterwards


@dataclasses.dataclass(frozen=True)
class Sample:
    value: float  # in the bench's unit
    raw: dict  # what it was computed from, and what explains it


def pair(ours, theirs, **more):
    """A sample of two sides, measured one right after the other."""
    return Sample(ours / theirs, {"ours": ours, "theirs": theirs, **more})


@dataclasses.dataclass(frozen=True)
class Bench:
    """One line of SPECIFICATION.md. Without a target it only reports."""
    name: str
    measure: typing.Callable[[Setup], list[Sample]]
    unit: str = "ratio"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self):
        return self.at_least if self.at_most is None else self.at_most

    def is_met(self, value):
        """None when there is no target."""
        if self.target is None:
            return None
        return value <= self.at_most if self.at_most is not None else value >= self.at_least


@dataclasses.dataclass(frozen=True)
class Outcome:
    bench: Bench
    samples: list[Sample]
    load: float  # runnable threads of the whole machine, on average over its last minute, before the bench began

    @property
    def value(self):
        return statistics.median(sample.value for sample in self.samples)

    @property
    def met(self):
        return self.bench.is_met(self.value)

    def to_json(self):
        return {"name": self.bench.name, "value": round(self.value, 4), "unit": self.bench.unit, "target": self.bench.target,
                "met": self.met, "load": self.load,
                "samples": [{"value": round(sample.value, 4), **sample.raw} for sample in self.samples]}

    def to_line(self):
        values = [sample.value for sample in self.samples]
        spread = f"{min(values):.3f}..{max(values):.3f}"
        sign = "" if self.bench.target is None else "≤ " if self.bench.at_most is not None else "≥ "
        target = "report" if self.bench.target is None else f"{sign}{self.bench.target:g}"
        met = {None: "-", True: "yes", False: "NO"}[self.met]
        return f"{self.bench.name:28} {self.value:8.3f} {spread:>17} {self.bench.unit:>5} {target:>7} {met:>4} {self.load:5.1f}"


HEADING = f"{'name':28} {'median':>8} {'spread':>17} {'unit':>5} {'target':>7} {'met':>4} {'load':>5}"
