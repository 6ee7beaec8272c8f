"""Free-response ROC: the share of the lesions found, against the false alarms an image."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.bootstrap import interval
from overread_learn.evaluate.roc import OneClass, TooFewPatients, checked

__all__ = ["CPM_RATES", "Froc", "cpm", "cpm_interval", "froc_curve"]

CPM_RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""False alarms an image at which the competition performance metric reads the sensitivity."""


class Froc(NamedTuple):
    """One point for each distinct score, from the strictest threshold to the laxest, and one before the first."""

    false_alarms: NDArray[np.float64]
    """An image (or a patient: whatever ``images`` counts)."""
    sensitivity: NDArray[np.float64]
    """Rises from 0 to the share of the lesions that were candidates at all."""
    thresholds: NDArray[np.float64]
    """Falling; a candidate is marked from this score on. The first is infinite: nothing is marked."""


def froc_curve(
    labels: ArrayLike, scores: ArrayLike, *, images: int, missed: int = 0, lesions: ArrayLike | None = None
) -> Froc:
    """Return the empirical FROC curve of candidates.

    ``labels`` (n,) are 1 where a candidate hits a lesion, else 0; ``scores`` (n,) are finite. ``images`` counts all
    that were looked at, those without a candidate too, ``missed`` the lesions that no candidate hits: no threshold
    finds them. ``lesions`` (n,) names the lesion that a candidate hits, any value where it hits none: a lesion is found
    from the largest score of its candidates on, and its other candidates are neither hits nor false alarms. Without
    ``lesions`` each hit is a lesion of its own.

    Raises OneClass where there is no lesion, ValueError on other labels, lengths, values or counts.
    """
    positive, values = checked(labels, scores)
    if images < 1 or missed < 0:
        raise ValueError(f"FROC needs images >= 1 and missed >= 0, got {images} and {missed}")
    names = np.arange(len(positive)) if lesions is None else np.asarray(lesions)
    if names.shape != positive.shape:
        raise ValueError(f"{len(positive)} candidates came with {names.size} names of lesions")
    found = _largest(names[positive], values[positive])
    total = len(found) + missed
    if not total:
        raise OneClass(f"there is no lesion in {images} images")
    alarms = values[~positive]
    thresholds = np.unique(np.concatenate([found, alarms]))[::-1]
    return Froc(
        false_alarms=np.concatenate([[0], _at_least(alarms, thresholds) / images]),
        sensitivity=np.concatenate([[0], _at_least(found, thresholds) / total]),
        thresholds=np.concatenate([[np.inf], thresholds]),
    )


def cpm(curve: Froc) -> float:
    """Return the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false alarms an image (Niemeijer et al., TMI 2011).

    Between two points the curve is a straight line, after its last point it stays level, as in the LUNA16 challenge.
    """
    return float(np.mean(np.interp(CPM_RATES, curve.false_alarms, curve.sensitivity)))


def cpm_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray[np.generic],
    *,
    images: Sequence[str] | NDArray[np.generic],
    missed: Sequence[str] | NDArray[np.generic] = (),
    lesions: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of `cpm`: patients are drawn with all that is theirs, images and missed lesions too.

    ``patients`` (n,) name whose candidate each is, ``images`` whose each image is, ``missed`` whose each lesion is that
    no candidate hits; a lesion is one patient's. Other arguments and errors as `froc_curve`, and TooFewPatients where
    fewer than two patients have lesions, or `interval` finds too few.
    """
    positive, values = checked(labels, scores)
    names = np.arange(len(positive)) if lesions is None else np.asarray(lesions)
    # A lesion is found by its largest score: that candidate stands for it, so a patient drawn twice has it twice.
    falling = np.argsort(-values, kind="stable")
    hits = falling[positive[falling]]
    hits = hits[np.unique(names[hits], return_index=True)[1]]
    alarms = np.flatnonzero(~positive)
    owners = np.asarray(patients)
    if not len(owners):  # an empty list says of no name what type it has
        owners = owners.astype(np.asarray(images).dtype)
    of_whom = [
        owners[hits],
        owners[alarms],
        np.asarray(images, owners.dtype.type),
        np.asarray(missed, owners.dtype.type),
    ]
    having = len(np.unique(np.concatenate([of_whom[0], of_whom[3]])))
    if having < 2:
        raise TooFewPatients(f"{having} patients have lesions, and an interval of FROC needs two")
    kind = np.repeat(np.arange(4), [len(part) for part in of_whom])
    value = np.concatenate([values[hits], values[alarms], np.zeros(len(images) + len(missed))])

    def figure(drawn: NDArray[np.intp]) -> float:
        of_kind = kind[drawn]
        marked = drawn[of_kind < 2]
        looked_at, lost = (int((of_kind == what).sum()) for what in (2, 3))
        return cpm(froc_curve((kind[marked] == 0).astype(int), value[marked], images=looked_at, missed=lost))

    return interval(figure, np.concatenate(of_whom), replicates=replicates, seed=seed)


def _largest(names: NDArray[np.generic], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each name's largest value."""
    known, owner = np.unique(names, return_inverse=True)
    largest = np.full(len(known), -np.inf)
    np.maximum.at(largest, owner, values)
    return largest


def _at_least(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Count the values from each threshold on."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")
