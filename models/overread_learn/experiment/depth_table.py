"""What the findings of a study of depths say together: AUCs over seeds with intervals, differences, core seconds.

Intervals are 95 % percentiles of a bootstrap over seeds and test patients, as for learning curves: both are drawn with
replacement, the same patients for all depths and shares, the same seeds for all that ran the same ones. Differences are
therefore paired. Few seeds make it coarse and too narrow (`overread_learn.evaluate.curves`): of three seeds two are
drawn, and one draw in three takes the same one twice.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.depth import SCRATCH, Depth, shallowest
from overread_learn.evaluate.bootstrap import PatientBootstrap, wide
from overread_learn.evaluate.curves import seed_weights
from overread_learn.evaluate.roc import macro_auc
from overread_learn.experiment.ranks import unpacked

__all__ = ["Cell", "DepthTable", "Estimate"]


class Estimate(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    lower: float
    upper: float

    @property
    def within(self) -> str:
        """The interval in words; one that has no width says so, for it would claim to be sure."""
        return f"{self.lower:.3f} to {self.upper:.3f}" if wide((self.lower, self.upper)) else "no width"

    @classmethod
    def of(cls, replicates: NDArray[np.float64]) -> "Estimate":
        """Return the first of some figures, and the interval that holds 95 % of the others."""
        lower, upper = np.quantile(replicates[1:], [0.025, 0.975])
        return cls(float(replicates[0]), float(lower), float(upper))


class Cell(NamedTuple):
    """Some depth on some share of the labels, over seeds."""

    depth: Depth | None
    """None where the seeds differ in it."""
    blocks: str
    labels: int
    seeds: tuple[int, ...]
    replicates: NDArray[np.float64]
    """The mean test AUC, then that of each replicate, (1 + replicates,)."""
    costs: Mapping[int, tuple[str, float]]
    """By seed, the processor and the core seconds on it."""
    auc_validation: float
    seconds: float
    """Medians over the seeds, as are the following: a process may have been stopped in between."""
    validation_core_seconds: float

    @property
    def auc(self) -> Estimate:
        """The mean test AUC."""
        return Estimate.of(self.replicates)

    def minus(self, other: "Cell") -> Estimate:
        """Return the paired difference of the test AUCs."""
        return Estimate.of(self.replicates - other.replicates)

    @property
    def core_seconds(self) -> float:
        """Of a core, the median over the seeds."""
        return float(np.median([seconds for _, seconds in self.costs.values()]))

    def ratios(self, other: "Cell") -> list[float]:
        """Return how many times this one's core seconds are in ``other``'s, the least first.

        By seed, of which one kind of processor did both: a study may go on on another machine.
        """
        return sorted(
            other.costs[seed][1] / seconds
            for seed, (processor, seconds) in self.costs.items()
            if seed in other.costs and other.costs[seed][0] == processor
        )

    def faster(self, other: "Cell") -> float:
        """Return the median of the `ratios`; NaN where there is none."""
        found = self.ratios(other)
        return float(np.median(found)) if found else float("nan")


class DepthTable:
    """The findings of one file, by share and depth; ``shares`` and ``depths`` name what was run at all."""

    def __init__(self, facts: Mapping[str, Any], replicates: int = 1000) -> None:
        """Take a file's JSON, as `overread_learn.experiment.depths.DepthStudy` writes it.

        Raises ValueError where it lacks its test set, or a finding its scores.
        """
        if "test" not in facts or not all("ranks" in row for row in facts["findings"]):
            raise ValueError("a study of depths lacks its test set, or a finding its scores: remove its file")
        truth = np.array(facts["test"]["labels"])
        draws = PatientBootstrap(truth, facts["test"]["patients"], replicates=replicates, seed=0)
        self._replicates = replicates
        self._rows: dict[tuple[int, Depth], dict[int, Mapping[str, Any]]] = {}
        self._aucs: dict[tuple[int, Depth, int], NDArray[np.float64]] = {}
        for row in facts["findings"]:
            share, depth, seed = row["share"], row["depth"], row["seed"]
            self._rows.setdefault((share, depth), {})[seed] = row
            scores = unpacked(row["ranks"], len(truth))
            self._aucs[share, depth, seed] = np.concatenate([[macro_auc(truth, scores)], draws.macro_auc(scores)])
        self.shares = sorted({share for share, _ in self._rows})
        self.depths: list[Depth] = [*sorted({depth for _, depth in self._rows if depth != SCRATCH})]
        if any(depth == SCRATCH for _, depth in self._rows):
            self.depths.append(SCRATCH)

    def __contains__(self, key: tuple[int, Depth]) -> bool:
        return key in self._rows

    def cell(self, share: int, depth: Depth) -> Cell:
        """Return one depth on one share. Raises KeyError where it was not run."""
        return self._cell(share, dict.fromkeys(sorted(self._rows[share, depth]), depth))

    def complete(self, depths: int) -> list[int]:
        """Return the shares on which so many depths, and scratch, were run with equal seeds: those can be compared."""
        wanted: list[Depth] = [*range(1, depths + 1), SCRATCH]
        return [
            share
            for share in self.shares
            if all((share, depth) in self for depth in wanted)
            and len({frozenset(self._rows[share, depth]) for depth in wanted}) == 1
        ]

    def rule(self, share: int) -> dict[int, int]:
        """Return, by seed, the depth that the one-standard-error rule takes on the validation patients.

        Of the depths that were run with that seed on this share; scratch is none.
        """
        tried: dict[int, list[_Measured]] = {}
        for (at, depth), rows in self._rows.items():
            if at == share and depth != SCRATCH:
                for seed, row in rows.items():
                    measured = _Measured(depth, row["auc_validation"], row["se_validation"])
                    tried.setdefault(seed, []).append(measured)
        return {seed: shallowest(tried[seed]) for seed in sorted(tried)}

    def by_rule(self, share: int) -> Cell:
        """Return the networks that the one-standard-error rule takes, each seed its own, on a `complete` share."""
        return self._cell(share, dict(self.rule(share)))

    def _cell(self, share: int, depths: Mapping[int, Depth]) -> Cell:
        seeds = tuple(depths)
        rows = [self._rows[share, depth][seed] for seed, depth in depths.items()]
        aucs = np.stack([self._aucs[share, depth, seed] for seed, depth in depths.items()])
        one = len(set(depths.values())) == 1
        return Cell(
            rows[0]["depth"] if one else None,
            rows[0]["blocks"] if one else ", ".join(row["blocks"] for row in rows),
            rows[0]["labels"],
            seeds,
            np.einsum("rs,sr->r", seed_weights(seeds, self._replicates, 0), aucs),
            # What an older version found does not say on which processor: on one, within a seed.
            {row["seed"]: (row.get("processor", ""), row["core_seconds"]) for row in rows},
            float(np.mean([row["auc_validation"] for row in rows])),
            *(float(np.median([row[name] for row in rows])) for name in ("seconds", "validation_core_seconds")),
        )


class _Measured(NamedTuple):
    depth: int
    auc: float
    se: float
