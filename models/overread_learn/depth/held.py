"""Candidates that are held out by patient, and how good a network is on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.evaluate import clustered_auc, wide
from overread_learn.finetune.predict import probabilities
from overread_learn.nets.classifier import Classifier

__all__ = ["Figure", "Held", "figure", "judge"]


class Held(NamedTuple):
    """Candidates of patients that are not trained on."""

    patches: Sequence[NDArray[np.float32]]
    """Each candidate's own, (m_i, 3, s, s)."""
    labels: NDArray[np.integer]
    """(n,), 0..C-1."""
    patients: Sequence[str] | NDArray[np.generic]
    """(n,), whose candidate each is."""


class Figure(NamedTuple):
    """An AUC, its standard error with patients as clusters, and its 95 % interval."""

    auc: float
    se: float
    interval: tuple[float, float] | None
    """None where it has no width: perfect on these patients is no certainty about others."""


def judge(model: Classifier, held: Held) -> Figure:
    """Return how good a network is on held-out candidates, by its mean patch probabilities; errors as `figure`."""
    return figure(probabilities(model, held.patches), held)


def figure(scores: NDArray[np.float64], held: Held) -> Figure:
    """Return the AUC of scores, (n, C), of held-out candidates (Obuchowski 1997, as `clustered_auc`).

    For more than two classes it is the mean, over those present, of one class against the rest, and so are its error
    and its interval: the error of a mean is at most the mean of the errors, so they are never too small.

    Raises OneClass where a class is missing (of more than two: all but one), and ValueError where fewer than two
    patients have a class, or have others.
    """
    present = np.unique(held.labels)
    positives = [1] if scores.shape[1] == 2 or len(present) < 2 else present.tolist()
    areas = [clustered_auc(held.labels == value, scores[:, value], held.patients) for value in positives]
    auc, se, lower, upper = (float(value) for value in np.mean([area[:4] for area in areas], axis=0))
    return Figure(auc, se, wide((lower, upper)))
