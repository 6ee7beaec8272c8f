"""Ways of doing the same thing, timed in turns, and the report on them.

One machine's speed drifts by a fifth within minutes, and other processes come and go. So all ways run within seconds of
each other, several rounds, on inputs drawn afresh, after a warm-up; what counts are medians of each round's ratios.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

from overread_learn.experiment.comparison import commit
from overread_learn.experiment.processes import processor

__all__ = ["interleaved", "ratios", "report"]

Inputs = TypeVar("Inputs")


def interleaved(
    draw: Callable[[int], Inputs], ways: Mapping[str, Callable[[Inputs], object]], rounds: int
) -> dict[str, list[float]]:
    """Time every way on what ``draw`` returns for a round's number, 0 and up; seconds, one a round.

    Each way takes its turn at being first, for what comes first finds the caches colder. Round -1 warms up, and is not
    counted.
    """
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        inputs = draw(number)
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            start = time.perf_counter()
            ways[name](inputs)
            spent = time.perf_counter() - start
            if number >= 0:
                seconds[name].append(spent)
    return seconds


def ratios(seconds: Mapping[str, list[float]], own: str) -> dict[str, float]:
    """Return for every other way the median, over the rounds, of its time over that of ``own``."""
    return {
        name: statistics.median(theirs / ours for theirs, ours in zip(taken, seconds[own], strict=True))
        for name, taken in seconds.items()
        if name != own
    }


def report(
    seconds: Mapping[str, list[float]], own: str, setting: Mapping[str, Any], packages: list[str]
) -> dict[str, Any]:
    """Return what a bench writes: median ``seconds``, ``ratios`` to ``own``, raw ``samples``, setting, machine."""
    return {
        "seconds": {name: statistics.median(taken) for name, taken in seconds.items()},
        "ratios": ratios(seconds, own),
        "samples": {name: list(taken) for name, taken in seconds.items()},
        "setting": dict(setting),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "commit": commit(),
    }


def machine() -> dict[str, Any]:
    """Return what of the machine decides on speed; ``load`` is how many others wanted its processor of late."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
