"""A strategy and its runs, as the report shows them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.evaluate.curves import Summary

__all__ = ["REFERENCE", "Run", "Tried", "missing", "tried"]

REFERENCE = "random"

Run = Mapping[str, Any]
"""What `overread_learn.experiment.comparison.Comparison` keeps of one."""


class Tried(NamedTuple):
    """A strategy that ran, with at least one seed."""

    name: str
    number: int
    """From 0; its place on the page."""
    runs: Mapping[int, Run]
    """By seed, in rising order."""
    summary: Summary | None

    @property
    def first(self) -> Run:
        """The run of the lowest seed, whose picks are shown."""
        return next(iter(self.runs.values()))

    @property
    def labels(self) -> list[int]:
        """How many labels were there after each step, (steps,)."""
        return [int(step["labels"]) for step in self._steps(self.first)]

    def each(self, key: str) -> NDArray[np.float64]:
        """Return a number of every step, such as ``auc`` or ``positives``, (seeds, steps)."""
        return np.array([[step[key] for step in self._steps(run)] for run in self.runs.values()], np.float64)

    def _steps(self, run: Run) -> Sequence[Mapping[str, Any]]:
        """Return the steps that all runs of this strategy have: a smaller pool ends sooner."""
        steps: Sequence[Mapping[str, Any]] = run["steps"]
        return steps[: min(len(other["steps"]) for other in self.runs.values())]


def tried(runs: Sequence[Run], summaries: Mapping[str, Summary]) -> list[Tried]:
    """Return the strategies, the largest area below the curve first; without summaries by the last mean AUC.

    Raises ValueError where nothing ran.
    """
    if not runs:
        raise ValueError("a report needs at least one run")
    by_name: dict[str, dict[int, Run]] = {}
    for run in sorted(runs, key=lambda run: int(run["seed"])):
        by_name.setdefault(run["strategy"], {})[run["seed"]] = run
    found = [Tried(name, 0, of_seeds, summaries.get(name)) for name, of_seeds in by_name.items()]
    found.sort(key=lambda one: (-(one.summary.alc if one.summary else one.each("auc")[:, -1].mean()), one.name))
    return [one._replace(number=number) for number, one in enumerate(found)]


def missing(strategies: Sequence[Tried]) -> dict[str, list[int]]:
    """Return, by strategy, the seeds that another one ran and it did not."""
    seeds = {seed for one in strategies for seed in one.runs}
    return {one.name: sorted(seeds - one.runs.keys()) for one in strategies if seeds - one.runs.keys()}
