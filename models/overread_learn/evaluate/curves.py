"""Learning curves: AUC against labels, the area below, labels to reach a target, and what each strategy saves.

Area under the learning curve: Zhou et al., Medical Image Analysis 2021 (arXiv 1802.00912). Intervals are percentiles of
a bootstrap over seeds and test patients: both are drawn with replacement, the same patients for all strategies, the
same seeds for all strategies that ran the same ones. Few seeds are little to take a percentile of: where seeds alone
differ (normal, 4,000 simulated repetitions), the 95 % of three hold .75, of five .86, of twenty .93.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.bootstrap import PatientBootstrap, wide
from overread_learn.evaluate.roc import macro_auc

__all__ = ["Axis", "Runs", "Summary", "alc", "labels_to_reach", "seed_weights", "summarise"]

Axis = Literal["linear", "log2"]
"""How labels are spaced: as they are, or each doubling one unit."""
AXES: tuple[Axis, ...] = get_args(Axis)

Runs = Mapping[str, Mapping[int, Sequence[tuple[int, NDArray[np.floating]]]]]
"""Strategy, then seed, to the steps: (labels, the test set's scores after them, (n,) or (n, C))."""


Interval = tuple[float, float] | None


class Summary(NamedTuple):
    """What a strategy did, over its seeds. Intervals hold 95 %.

    There is none where a class is that of fewer than two test patients, or where all draws say the same: neither tells
    how others would differ. The reference differs from itself by 0, whoever is drawn.
    """

    labels_to_reach: float | None
    """The reference's mean AUC at the last budget; None where never reached."""
    ratio_to_random: float | None
    """Of labels to reach it, this strategy's over the reference's; None where never reached: it counts as above 1."""
    ratio_interval: tuple[float | None, float | None] | None
    """An end is None where the target is never reached there."""
    alc: float
    alc_interval: Interval
    alc_minus_random: float
    alc_minus_random_interval: Interval
    """Paired: strategies share patients and seeds."""
    alc_log2: float
    """The same four where each doubling of the labels counts alike: the first rounds weigh more."""
    alc_log2_interval: Interval
    alc_log2_minus_random: float
    alc_log2_minus_random_interval: Interval


def alc(labels: ArrayLike, aucs: ArrayLike, axis: Axis = "linear") -> float:
    """Return the area under a learning curve over the width of its axis: the mean AUC on the way, in 0..1.

    ``labels`` (steps,) rise, ``aucs`` (steps,). One step is its own mean. Raises ValueError on other shapes, or where
    log2 has no value for the labels.
    """
    spaced, heights = _checked(labels, aucs)
    if axis == "log2":
        if spaced[0] <= 0:
            raise ValueError(f"a log2 axis needs labels above 0, got {spaced[0]}")
        spaced = np.log2(spaced)
    if len(spaced) == 1:
        return float(heights[0])
    return float(np.trapezoid(heights, spaced) / (spaced[-1] - spaced[0]))


def labels_to_reach(labels: ArrayLike, aucs: ArrayLike, target: float) -> float | None:
    """Return where the straight lines between the steps first reach a target, or None where they never do.

    Arguments and errors as `alc`. A curve that begins at the target or above reaches it with its first labels.
    """
    at, heights = _checked(labels, aucs)
    reached = np.flatnonzero(heights >= target)
    if not len(reached):
        return None
    after = int(reached[0])
    if after == 0:
        return float(at[0])
    before = after - 1
    share = (target - heights[before]) / (heights[after] - heights[before])
    return float(at[before] + share * (at[after] - at[before]))


def summarise(
    runs: Runs,
    patients: Sequence[str] | NDArray[np.generic],
    truth: ArrayLike,
    reference: str = "random",
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Summary]:
    """Summarise strategies that ran on the same label budgets and were tested on the same candidates.

    Each is held against the reference's runs of its own seeds: seeds differ in luck, and more so than strategies. Only
    where the reference did not run them all, it is held against all that it ran.

    ``patients`` (n,) name whose candidate each is, ``truth`` (n,) are its labels. Point values are those of the mean
    over seeds; the target is the reference's own in every replicate. Raises ValueError where the reference is missing,
    budgets differ or a strategy has no run, OneClass where the test set has one class.
    """
    labels = _budgets(runs, reference)
    draws = PatientBootstrap(truth, patients, replicates=replicates, seed=seed)
    told = _several_patients_a_class(truth, patients)

    def aucs(scores: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.concatenate([[macro_auc(truth, scores)], draws.macro_auc(scores)])

    # One row as observed, then one a replicate: every figure below is computed on all rows alike.
    values = {
        name: {each: np.array([aucs(scores) for _, scores in steps]) for each, steps in of_seeds.items()}
        for name, of_seeds in runs.items()
    }

    def held_against(name: str) -> Summary:
        seeds = sorted(values[name], key=str)
        same = seeds if set(seeds) <= set(values[reference]) else sorted(values[reference], key=str)
        mine = _mean_curve(values[name], seeds, replicates, seed)
        theirs = _mean_curve(values[reference], same, replicates, seed)
        targets = theirs[:, -1]
        reach, reach_of_reference = (_reach(labels, rows, targets) for rows in (mine, theirs))
        ratio = reach / reach_of_reference  # never reached is infinite
        lower, upper = _interval(ratio)
        never, itself = bool(np.isinf(lower)), name == reference
        sure = never or itself or wide((lower, upper)) is not None
        linear, log2 = (_areas(labels, mine, theirs, axis, told=told, itself=itself) for axis in AXES)
        return Summary(
            labels_to_reach=_finite(float(reach[0])),
            ratio_to_random=_finite(float(ratio[0])),
            ratio_interval=(_finite(lower), _finite(upper)) if told and sure else None,
            alc=linear.value,
            alc_interval=linear.interval,
            alc_minus_random=linear.gain,
            alc_minus_random_interval=linear.gain_interval,
            alc_log2=log2.value,
            alc_log2_interval=log2.interval,
            alc_log2_minus_random=log2.gain,
            alc_log2_minus_random_interval=log2.gain_interval,
        )

    return {name: held_against(name) for name in runs}


def _several_patients_a_class(truth: ArrayLike, patients: Sequence[str] | NDArray[np.generic]) -> bool:
    marks, names = np.asarray(truth), np.asarray(patients)
    return all(len(np.unique(names[marks == each])) > 1 for each in np.unique(marks))


class _Areas(NamedTuple):
    value: float
    interval: Interval
    gain: float
    gain_interval: Interval


def _areas(
    labels: NDArray[np.float64],
    mine: NDArray[np.float64],
    theirs: NDArray[np.float64],
    axis: Axis,
    *,
    told: bool,
    itself: bool,
) -> _Areas:
    """Return the area below a curve, and what it is more than the reference's, each with its interval.

    Of rows, (1 + replicates, steps) each, the first is as observed. ``told`` is whether the patients tell an interval,
    ``itself`` whether the curve is the reference's.
    """
    area, area_of_reference = (np.array([alc(labels, row, axis) for row in rows]) for rows in (mine, theirs))
    gain = area - area_of_reference
    own, difference = (wide(_interval(rows)) if told else None for rows in (area, gain))
    return _Areas(float(area[0]), own, float(gain[0]), (0.0, 0.0) if told and itself else difference)


def _mean_curve(
    of_seeds: Mapping[int, NDArray[np.float64]], seeds: Sequence[int], replicates: int, seed: int
) -> NDArray[np.float64]:
    """Return the mean over some seeds, then over each replicate's drawn seeds, (1 + replicates, steps)."""
    values = np.array([of_seeds[each] for each in seeds])
    means: NDArray[np.float64] = np.einsum("rs,str->rt", seed_weights(seeds, replicates, seed), values)
    return means


def seed_weights(names: Sequence[int], replicates: int, seed: int) -> NDArray[np.float64]:
    """Return each seed's weight in the mean over seeds, then in that of each replicate's, (1 + replicates, names).

    A replicate draws one seed fewer than there are (Rao & Wu, JASA 83 (1988) 231-241): as many as there are would make
    the variance of a mean of n independent seeds (n - 1) / n of what it is. One seed alone says nothing of others.
    """
    # Seeded by what the seeds are called: strategies that ran the same seeds draw the same ones.
    rng = np.random.default_rng([seed, zlib.crc32(" ".join(map(str, names)).encode())])
    many = max(1, len(names) - 1)
    drawn = rng.multinomial(many, np.full(len(names), 1 / len(names)), size=replicates) / many
    weights: NDArray[np.float64] = np.concatenate([np.full((1, len(names)), 1 / len(names)), drawn])
    return weights


def _reach(labels: NDArray[np.float64], rows: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    found = (labels_to_reach(labels, row, target) for row, target in zip(rows, targets, strict=True))
    return np.array([np.inf if one is None else one for one in found])


def _interval(rows: NDArray[np.float64], alpha: float = 0.05) -> tuple[float, float]:
    """Return the percentile interval of the replicates, by order statistics: infinity can't be interpolated."""
    lower, upper = np.quantile(rows[1:], [alpha / 2, 1 - alpha / 2], method="inverted_cdf")
    return float(lower), float(upper)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _budgets(runs: Runs, reference: str) -> NDArray[np.float64]:
    """Return the labels of every run's steps, which are the same for all and above 0."""
    if reference not in runs:
        raise ValueError(f"the reference {reference!r} is not among {', '.join(runs)}")
    expected: list[int] | None = None
    for name, of_seeds in runs.items():
        if not of_seeds:
            raise ValueError(f"{name} has no run")
        for one, steps in of_seeds.items():
            found = [labels for labels, _ in steps]
            expected = expected or found
            if found != expected or not found or min(found) <= 0:
                raise ValueError(f"{name}, seed {one}: the labels {found} are not {expected}, or not all above 0")
    return np.array(expected, dtype=np.float64)


def _checked(labels: ArrayLike, aucs: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at, heights = np.asarray(labels, dtype=np.float64), np.asarray(aucs, dtype=np.float64)
    if at.ndim != 1 or not len(at) or at.shape != heights.shape or (np.diff(at) <= 0).any():
        raise ValueError(f"a curve needs rising labels and as many AUCs, got {at.tolist()} and {heights.shape}")
    return at, heights
