"""The ROC curve and the areas under it: whole, of several classes, and of the part where false alarms are few."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Curve",
    "OneClass",
    "TooFewPatients",
    "auc",
    "checked",
    "macro_auc",
    "midranks",
    "partial_auc",
    "roc_curve",
    "split",
]


class OneClass(ValueError):
    """There are only positives, or only negatives, where both are needed."""


class TooFewPatients(ValueError):
    """A figure may be had, but these patients do not tell how much it varies."""


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


def macro_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean, over the classes that are present, of the AUC of one class against the rest.

    ``labels`` (n,) are 0..C-1, ``scores`` (n, C) one column a class. Two classes have one AUC, that of the second
    column; (n,) scores are those of the positive class, as in `auc`. Raises OneClass where only one class is present,
    ValueError on other labels, lengths or values.
    """
    marks: NDArray[Any] = np.asarray(labels)
    columns = np.asarray(scores, dtype=np.float64)
    if columns.ndim == 1:
        return auc(marks, columns)
    if columns.ndim != 2 or marks.shape != columns.shape[:1]:
        raise ValueError(f"labels must be (n,) and scores (n, classes), got {marks.shape} and {columns.shape}")
    classes = columns.shape[1]
    if classes == 2:
        return auc(marks, columns[:, 1])
    if not np.isin(marks, np.arange(classes)).all():
        raise ValueError(f"labels must be 0..{classes - 1}, got {np.unique(marks)[:10].tolist()}")
    present = np.unique(marks)
    if len(present) < 2:
        raise OneClass(f"all {len(marks)} labels are {present[0]}" if len(marks) else "there is no label at all")
    return float(np.mean([auc(marks == value, columns[:, value]) for value in present]))


def partial_auc(labels: ArrayLike, scores: ArrayLike, most_fpr: float, *, standardised: bool = False) -> float:
    """Return the area under the ROC curve from no false alarm to a false-positive rate of ``most_fpr``, in 0..most_fpr.

    ``standardised`` maps it to .5 for a score that knows nothing and 1 for a perfect one (McClish, Medical Decision
    Making 9 (1989) 190-195): (1 + (area - least) / (most - least)) / 2 with least = most_fpr^2 / 2 and most =
    most_fpr. Other arguments and errors are those of `auc`; ValueError where ``most_fpr`` is not in (0, 1].
    """
    if not 0 < most_fpr <= 1:
        raise ValueError(f"the largest false-positive rate must be in (0, 1], got {most_fpr}")
    curve = roc_curve(labels, scores)
    inside = curve.fpr <= most_fpr
    fpr = np.append(curve.fpr[inside], most_fpr)
    tpr = np.append(curve.tpr[inside], np.interp(most_fpr, curve.fpr, curve.tpr))
    area = float(np.trapezoid(tpr, fpr))
    least = most_fpr**2 / 2
    return (1 + (area - least) / (most_fpr - least)) / 2 if standardised else area


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
    """Check labels and scores, (n,) each, and return which are positive, and the scores as float64; both classes."""
    positive, values = checked(labels, scores)
    if positive.all() or not positive.any():
        message = f"all {len(positive)} labels are {'positive' if len(positive) and positive.all() else 'negative'}"
        raise OneClass(message if len(positive) else "there is no label at all")
    return positive, values


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Do what `split` does where one class, or none, is enough."""
    marks: NDArray[Any] = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if marks.ndim != 1 or marks.shape != values.shape:
        raise ValueError(f"labels and scores must be two lists of one length, got {marks.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    positive: NDArray[np.bool_] = marks == 1
    if not (positive | (marks == 0)).all():
        raise ValueError(f"labels must be 0 or 1, got {np.unique(marks)[:10].tolist()}")
    return positive, values


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank from 1, ties sharing the mean of their ranks; (n,) to (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return middle[inverse]
