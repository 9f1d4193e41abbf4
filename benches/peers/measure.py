"""Measuring side by side: contenders take turns, so that a noisy minute hits all of them; and the words for what came out."""

import statistics
import sys
from dataclasses import dataclass, field


@dataclass
class Line:
    """What one contender needed, once per turn."""

    name: str
    values: list
    unit: str
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.values)


@dataclass
class Verdict:
    """A figure beside the bar it has to reach. `reached` is None where there was nothing to measure."""

    what: str
    figure: str
    bar: str
    reached: bool | None

    @property
    def word(self):
        return {True: "reached", False: "**missed**", None: "not measured"}[self.reached]


@dataclass
class Section:
    """All that one bench has to say."""

    title: str
    about: str
    commands: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    verdicts: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def interleave(contenders, turns):
    """Calls each of `contenders` (name to function) once per turn, A B C A B C …, and gives each name's values."""
    values = {name: [] for name in contenders}
    for turn in range(turns):
        for name, contender in contenders.items():
            say(f"  turn {turn + 1} of {turns}: {name}")
            values[name].append(contender())
    return values


def ratio(first, second):
    """How many times `first` is `second`, of medians."""
    return statistics.median(first) / statistics.median(second)


def say(line):
    """Progress for the person who waits."""
    print(line, file=sys.stderr, flush=True)
