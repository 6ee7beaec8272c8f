"""Precision against recall: what a reader of the marked candidates sees where positives are rare."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.roc import OneClass, checked

__all__ = ["PrecisionRecall", "average_precision", "precision_recall"]


class PrecisionRecall(NamedTuple):
    """One point for each distinct score, from the strictest threshold to the laxest, and one before the first."""

    precision: NDArray[np.float64]
    """The share of the called candidates that are positive; 1 where none is called."""
    recall: NDArray[np.float64]
    """The share of the positives that are called; rises from 0 to 1."""
    thresholds: NDArray[np.float64]
    """Falling; a case is called positive from this score on. The first is infinite: nothing is called."""


def precision_recall(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecall:
    """Return the empirical curve. ``labels`` (n,) are 0 or 1, ``scores`` (n,) any finite numbers.

    Raises OneClass where there is no positive, ValueError on other labels, lengths or values.
    """
    positive, values = checked(labels, scores)
    if not positive.any():
        raise OneClass(f"none of {len(positive)} labels is positive")
    thresholds, inverse = np.unique(-values, return_inverse=True)
    hits = np.cumsum(np.bincount(inverse, weights=positive))
    called = np.cumsum(np.bincount(inverse))
    return PrecisionRecall(
        precision=np.concatenate([[1], hits / called]),
        recall=np.concatenate([[0], hits / hits[-1]]),
        thresholds=np.concatenate([[np.inf], -thresholds]),
    )


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the precision at every step of recall, weighted by the step; arguments as `precision_recall`.

    A sum of steps, not of trapezoids: to interpolate precision linearly flatters (Davis and Goadrich, ICML 2006).
    """
    curve = precision_recall(labels, scores)
    return float(np.diff(curve.recall) @ curve.precision[1:])
