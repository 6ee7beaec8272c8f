"""The ROC curve and the area under it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Curve", "OneClass", "auc", "midranks", "roc_curve", "split"]


class OneClass(ValueError):
    """There are only positives, or only negatives, where both are needed."""


class Curve(NamedTuple):
    """The ROC curve from (0, 0) to (1, 1), one point for each distinct score and one before the first."""

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    """Falling; a case is called positive from this score on. The first is infinite: nothing is called."""


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the probability that a positive scores above a negative, a tie counting half (Mann-Whitney).

    ``labels`` (n,) are 0 or 1, ``scores`` (n,) any finite numbers. Raises OneClass where a class is missing, ValueError
    on other labels, lengths or values.
    """
    positive, values = split(labels, scores)
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    return float((midranks(values)[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Return the empirical ROC curve; arguments and errors are those of `auc`, whose value is the area below it."""
    positive, values = split(labels, scores)
    thresholds, inverse = np.unique(-values, return_inverse=True)
    hits = np.bincount(inverse, weights=positive)
    alarms = np.bincount(inverse, weights=~positive)
    return Curve(
        fpr=np.concatenate([[0], np.cumsum(alarms) / alarms.sum()]),
        tpr=np.concatenate([[0], np.cumsum(hits) / hits.sum()]),
        thresholds=np.concatenate([[np.inf], -thresholds]),
    )


def split(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Check labels and scores, (n,) each, and return which are positive, and the scores as float64."""
    marks: NDArray[Any] = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if marks.ndim != 1 or marks.shape != values.shape:
        raise ValueError(f"labels and scores must be two lists of one length, got {marks.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    positive: NDArray[np.bool_] = marks == 1
    if not (positive | (marks == 0)).all():
        raise ValueError(f"labels must be 0 or 1, got {np.unique(marks)[:10].tolist()}")
    if positive.all() or not positive.any():
        message = f"all {len(marks)} labels are {'positive' if len(marks) and positive.all() else 'negative'}"
        raise OneClass(message if len(marks) else "there is no label at all")
    return positive, values


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank from 1, ties sharing the mean of their ranks; (n,) to (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return middle[inverse]
