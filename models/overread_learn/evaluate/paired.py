"""AUCs of clustered data, alone and paired: patients, not candidates, are the independent units.

Obuchowski, Biometrics 53 (1997) 567-578, on the structural components of DeLong et al., Biometrics 44 (1988) 837-845.
Intervals are Wald intervals on the AUC's own scale: with few patients, or an AUC near 1, they are too narrow.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.roc import TooFewPatients, midranks, split

__all__ = ["AUC", "Difference", "clustered_auc", "paired_difference"]


class AUC(NamedTuple):
    """An area under the ROC curve and what is known about it."""

    value: float
    se: float
    """Standard error, with patients as clusters."""
    lower: float
    """Two-sided 1 - alpha interval, kept within 0..1."""
    upper: float
    n_pos: int
    """Candidates, as is ``n_neg``."""
    n_neg: int
    patients: int


class Difference(NamedTuple):
    """Two AUCs over the same candidates."""

    auc_new: float
    auc_ref: float
    difference: float
    """New minus reference."""
    se: float
    """Standard error of the difference, with patients as clusters and both scores paired."""
    lower_one_sided: float
    """With confidence 1 - alpha the difference is above this: what a non-inferiority margin is held against."""
    interval: tuple[float, float]
    """Two-sided 1 - alpha interval."""


class _Components(NamedTuple):
    """DeLong's structural components, less their mean, summed by patient; each (patients,)."""

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]


def clustered_auc(
    labels: ArrayLike, scores: ArrayLike, patients: Sequence[str] | NDArray[np.generic], alpha: float = 0.05
) -> AUC:
    """Estimate an AUC with a standard error for clustered data (Obuchowski 1997, Eq. 4-7).

    ``labels`` (n,) are 0 or 1, ``scores`` (n,) finite, ``patients`` (n,) name whose candidate each is. Raises OneClass
    where a class is missing, TooFewPatients where fewer than two patients have positives, or negatives.
    """
    positive, values = split(labels, scores)
    clusters = _clusters(patients, positive)
    value, components = _components(positive, values, clusters)
    se = _standard_error(components, positive, clusters)
    margin = _quantile(alpha / 2) * se
    n_pos = int(positive.sum())
    return AUC(
        value=value,
        se=se,
        lower=max(0.0, value - margin),
        upper=min(1.0, value + margin),
        n_pos=n_pos,
        n_neg=len(positive) - n_pos,
        patients=int(clusters.max()) + 1,
    )


def paired_difference(
    labels: ArrayLike,
    scores_new: ArrayLike,
    scores_ref: ArrayLike,
    patients: Sequence[str] | NDArray[np.generic],
    alpha: float = 0.05,
) -> Difference:
    """Compare two scores of the same candidates (Obuchowski 1997, Eq. 8-10); arguments and errors as `clustered_auc`.

    The variance is bilinear in the components, so the difference's components give it directly: the same number as
    var(new) + var(ref) - 2 cov(new, ref).
    """
    positive, new = split(labels, scores_new)
    _, ref = split(labels, scores_ref)
    clusters = _clusters(patients, positive)
    auc_new, of_new = _components(positive, new, clusters)
    auc_ref, of_ref = _components(positive, ref, clusters)
    parts = _Components(of_new.positive - of_ref.positive, of_new.negative - of_ref.negative)
    se = _standard_error(parts, positive, clusters)
    difference = auc_new - auc_ref
    margin = _quantile(alpha / 2) * se
    return Difference(
        auc_new=auc_new,
        auc_ref=auc_ref,
        difference=difference,
        se=se,
        lower_one_sided=difference - _quantile(alpha) * se,
        interval=(difference - margin, difference + margin),
    )


def _quantile(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha)


def _clusters(patients: Sequence[str] | NDArray[np.generic], positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the patients as numbers from 0, (n,). Raises TooFewPatients for a variance, ValueError on their number."""
    names, clusters = np.unique(np.asarray(patients), return_inverse=True)
    if clusters.shape != positive.shape:
        raise ValueError(f"{len(positive)} labels came with {clusters.size} patients")
    with_pos, with_neg = len(np.unique(clusters[positive])), len(np.unique(clusters[~positive]))
    if min(with_pos, with_neg) < 2:  # a variance needs two
        raise TooFewPatients(
            f"of {len(names)} patients, {with_pos} have positives and {with_neg} have negatives: two of each are needed"
        )
    return clusters.astype(np.int64)


def _components(
    positive: NDArray[np.bool_], values: NDArray[np.float64], clusters: NDArray[np.int64]
) -> tuple[float, _Components]:
    """Return the AUC, and the components from ranks: V10 = (R - R_pos) / n_neg, V01 = 1 - (R - R_neg) / n_pos."""
    ranks = midranks(values)
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    # How many of the other class score below each case, ties counting half: its rank among all less its rank at home.
    above = (ranks[positive] - midranks(values[positive])) / n_neg
    below = 1 - (ranks[~positive] - midranks(values[~positive])) / n_pos
    value = float(above.mean())
    count = int(clusters.max()) + 1
    summed = np.zeros((2, count))
    np.add.at(summed[0], clusters[positive], above - value)
    np.add.at(summed[1], clusters[~positive], below - value)
    return value, _Components(*summed)


def _standard_error(parts: _Components, positive: NDArray[np.bool_], clusters: NDArray[np.int64]) -> float:
    """Return sqrt(S10 / n_pos + S01 / n_neg + 2 S11 / (n_pos n_neg))."""
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    with_pos, with_neg = len(np.unique(clusters[positive])), len(np.unique(clusters[~positive]))
    count = len(parts.positive)
    s10 = with_pos / ((with_pos - 1) * n_pos) * float(parts.positive @ parts.positive)
    s01 = with_neg / ((with_neg - 1) * n_neg) * float(parts.negative @ parts.negative)
    s11 = count / (count - 1) * float(parts.positive @ parts.negative)
    # The three estimates need not be a positive definite whole: with few patients their sum can fall below zero.
    return math.sqrt(max(0.0, s10 / n_pos + s01 / n_neg + 2 * s11 / (n_pos * n_neg)))
