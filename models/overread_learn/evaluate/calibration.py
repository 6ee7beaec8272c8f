"""Whether a probability means what it says, and the temperature that makes it so.

Reliability and temperature after Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; what it is fitted
to after Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers, 1999, 2.2.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

__all__ = ["HOTTEST", "Bin", "brier", "ece", "reliability", "temperature"]

HOTTEST = 10.0
"""Temperatures are sought in 1/10..10."""


class Bin(NamedTuple):
    """The candidates whose probability lies in (lower, upper]; the first bin holds 0 too."""

    lower: float
    upper: float
    predicted: float
    """Their mean probability."""
    observed: float
    """How often it came true."""
    size: int


def reliability(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> list[Bin]:
    """Compare probabilities with what came true, in bins of equal width; empty ones are left out.

    ``labels`` (n,) are 0..C-1. ``probabilities`` (n,) are those of the positive class and come true where the label is
    1; of (n, C) the largest is looked at, which comes true where it is the label's. Raises ValueError on other shapes
    or values, and where there is no label.
    """
    marks, given = _checked(labels, probabilities)
    came_true = marks == (1 if given.ndim == 1 else given.argmax(axis=1))
    stated = given if given.ndim == 1 else given.max(axis=1)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, stated, side="left") - 1, 0, bins - 1)
    return [
        Bin(
            lower=float(edges[index]),
            upper=float(edges[index + 1]),
            predicted=float(stated[place == index].mean()),
            observed=float(came_true[place == index].mean()),
            size=int((place == index).sum()),
        )
        for index in np.unique(place)
    ]


def ece(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error: the mean gap of `reliability`'s bins, weighted by their sizes."""
    found = reliability(labels, probabilities, bins)
    return sum(one.size * abs(one.predicted - one.observed) for one in found) / sum(one.size for one in found)


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared error of the probabilities; arguments and errors as `reliability`.

    Of two classes it is (p - y)^2 of the positive one, 0..1, as it is commonly given, whether p comes as (n,) or as
    (n, 2); the sum over both would be twice as much. Of more, the squares are summed over the classes, 0..2 (Brier,
    Monthly Weather Review 78 (1950) 1-3).
    """
    marks, given = _checked(labels, probabilities)
    if given.ndim == 1 or given.shape[1] == 2:
        positive = given if given.ndim == 1 else given[:, 1]
        return float(np.mean((positive - marks) ** 2))
    return float(np.mean(((given - np.eye(given.shape[1])[marks]) ** 2).sum(axis=1)))


def temperature(labels: ArrayLike, logits: Sequence[NDArray[np.floating]] | NDArray[np.floating]) -> float:
    """Return the temperature T of the least mean cross-entropy, p a candidate's mean softmax(logits / T).

    ``labels`` (n,) are 0..C-1, ``logits`` one (m_i, C) a candidate, or (n, C). Above 1 the network was too sure of
    itself, below 1 not sure enough. T lies in 1/10..10. Raises ValueError on other shapes or values.

    A label of which there are n_c counts as (n_c + 1) / (n_c + C) of it and 1 / (n_c + C) of each other class: for two
    classes Platt's targets. Few candidates that are all predicted right would ask for a T of 0 otherwise, and for
    probabilities of 0 and 1 that nothing bears out.
    """
    stacked, starts, sizes = _stacked(logits)
    classes = stacked.shape[1]
    marks, _ = _checked(labels, np.full((len(sizes), classes), 1 / classes))
    beside = 1 / (np.bincount(marks, minlength=classes)[marks] + classes)  # (n,): what each other class counts
    targets = beside[:, np.newaxis] + np.eye(classes)[marks] * (1 - classes * beside)[:, np.newaxis]

    def cost(log_t: float) -> float:
        scaled = stacked / np.exp(log_t)
        of_patches = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        found = np.logaddexp.reduceat(of_patches, starts, axis=0) - np.log(sizes)[:, np.newaxis]
        return -float((targets * found).sum(axis=1).mean())

    # One patch a candidate has one minimum; a mean over patches may have more: look everywhere, then closely.
    grid = np.linspace(-np.log(HOTTEST), np.log(HOTTEST), 61)
    best = int(np.argmin([cost(point) for point in grid]))
    around = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    return float(np.exp(minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-6}).x))


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    marks: NDArray[Any] = np.asarray(labels)
    given = np.asarray(probabilities, dtype=np.float64)
    if marks.ndim != 1 or not len(marks) or given.ndim not in {1, 2} or given.shape[:1] != marks.shape:
        raise ValueError(f"labels must be (n,), probabilities (n,) or (n, classes): {marks.shape} and {given.shape}")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("a probability is not in 0..1")
    classes = 2 if given.ndim == 1 else given.shape[1]
    if not np.isin(marks, np.arange(classes)).all():
        raise ValueError(f"labels must be 0..{classes - 1}, got {np.unique(marks)[:10].tolist()}")
    return marks.astype(np.intp), given


def _stacked(
    logits: Sequence[NDArray[np.floating]] | NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Put all patches into one (patches, C); returns each candidate's first row and number of rows too."""
    parts = [np.atleast_2d(np.asarray(one, dtype=np.float64)) for one in logits]
    sizes = np.array([len(part) for part in parts], dtype=np.intp)
    if not parts or not sizes.all():
        raise ValueError("every candidate needs a patch, and there must be a candidate")
    stacked = np.concatenate(parts)
    if not np.isfinite(stacked).all():
        raise ValueError("a logit is not finite")
    return stacked, np.cumsum(sizes) - sizes, sizes
