"""All that is said of a model's scores at once: figures, their intervals, and the points of their curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.evaluate.bootstrap import PatientBootstrap, interval, percentiles, wide
from overread_learn.evaluate.calibration import brier, ece, reliability
from overread_learn.evaluate.froc import cpm, cpm_interval, froc_curve
from overread_learn.evaluate.paired import clustered_auc
from overread_learn.evaluate.pr import average_precision, precision_recall
from overread_learn.evaluate.roc import OneClass, TooFewPatients, auc, macro_auc, partial_auc, roc_curve

__all__ = ["PARTIAL", "REPLICATES", "SHARES", "LookedAt", "verdict"]

PARTIAL = 0.1
"""The false-positive rate up to which the partial AUC goes."""
REPLICATES = 1000
"""Draws of patients for an interval."""

SHARES = ("sensitivity", "specificity", "positive_predictive_value")
"""What is said of the candidates that are called positive from the operating point on."""


class LookedAt(NamedTuple):
    """What was looked at; FROC counts in it."""

    images: Sequence[str]
    """Whose each image is, those without a candidate too."""
    missed: Sequence[str] | int
    """Whose each lesion is that no candidate hits; their number where nobody says whose they are."""
    lesions: Sequence[str]
    """(n,), which lesion a candidate hits; any word where it hits none."""


def verdict(
    truth: NDArray[np.integer],
    p: NDArray[np.float64],
    patients: Sequence[str] | NDArray[np.generic],
    looked_at: LookedAt,
    classes: Sequence[str],
    operating_point: float,
    replicates: int = REPLICATES,
) -> dict[str, Any]:
    """Judge probabilities, as docs/contracts.md has the JSON of `overread-learn evaluate`.

    ``truth`` (n,) are labels 0..C-1, ``p`` (n, C), ``patients`` (n,) name whose candidate each is, ``classes`` (C,)
    name the labels. Two classes: the second against the first. More: the mean over those present of one against the
    rest, and each alone; FROC, and what is called positive from ``operating_point`` on, then take whatever is not class
    0 for a lesion, by 1 - p of class 0.

    Intervals hold 95 %. That of an AUC of two classes is `clustered_auc`'s, all others are percentiles of a bootstrap
    of patients; None, and ``se`` with it, where too few patients have a class to tell, or where all draws say the same
    (a model without an error, say): that is no certainty about other patients. The calibration error has none: a
    resample repeats candidates, which makes every bin's gap wider than it is, so the percentiles would lie above it.

    Raises OneClass where one class alone is present, ValueError on other shapes, labels or values.
    """
    area = macro_auc(truth, p)
    facts: dict[str, Any] = {
        "candidates": len(truth),
        "positives": int((truth > 0).sum()),
        "patients": len(np.unique(np.asarray(patients))),
    }
    squares = _within(lambda drawn: brier(truth[drawn], p[drawn]), patients, replicates)
    calibration = {"ece": ece(truth, p), "brier": brier(truth, p), "brier_interval": squares}
    binned = {"reliability": [one._asdict() for one in reliability(truth, p)]}
    if p.shape[1] == 2:
        against, curves = _against(truth == 1, p[:, 1], patients, replicates)
        called = _called(truth == 1, p[:, 1], patients, operating_point, replicates)
        found, froc = _froc(truth == 1, p[:, 1], patients, looked_at, replicates)
        return facts | against | called | found | calibration | {"curves": {**curves, "froc": froc, **binned}}
    each = [_one_class(label, name, truth, p, patients, replicates) for label, name in enumerate(classes)]
    facts |= {"auc": area, "se": None, "auc_interval": None}
    if all(_enough(one) for one in each if one["n_pos"]):  # a class of one patient's has no interval, nor a mean
        drawn = PatientBootstrap(truth, patients, replicates=replicates, seed=0).macro_auc(p)
        if within := wide(percentiles(drawn)):
            facts |= {"se": float(np.std(drawn, ddof=1)), "auc_interval": within}
    called = _called(truth > 0, 1 - p[:, 0], patients, operating_point, replicates)
    found, froc = _froc(truth > 0, 1 - p[:, 0], patients, looked_at, replicates)
    return facts | called | found | calibration | {"classes": each, "curves": {"froc": froc, **binned}}


def _one_class(
    label: int,
    name: str,
    truth: NDArray[np.integer],
    p: NDArray[np.float64],
    patients: Sequence[str] | NDArray[np.generic],
    replicates: int,
) -> dict[str, Any]:
    """Judge one class against the rest; one that no candidate has is named, and that is all."""
    if label not in truth:
        return {"label": label, "class": name, "n_pos": 0, "auc": None, "auc_interval": None}
    figures, curves = _against(truth == label, p[:, label], patients, replicates)
    return {"label": label, "class": name, **figures, "curves": curves}


def _against(
    positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    patients: Sequence[str] | NDArray[np.generic],
    replicates: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of positives against the rest, and the curves."""
    marks = positive.astype(np.int64)
    figures: Mapping[str, Callable[[NDArray[Any], NDArray[Any]], float]] = {
        "average_precision": average_precision,
        "partial_auc_at_10_percent": lambda labels, values: partial_auc(labels, values, PARTIAL, standardised=True),
    }
    facts: dict[str, Any] = {"auc": auc(marks, scores), "se": None, "auc_interval": None}
    facts |= {"n_pos": int(marks.sum()), "n_neg": int((1 - marks).sum())}
    facts |= {"patients_pos": _owners(positive, patients), "patients_neg": _owners(~positive, patients)}
    if enough := _enough(facts):  # else no other figure tells how it varies either
        known = clustered_auc(marks, scores, patients)
        if within := wide((known.lower, known.upper)):
            facts |= {"se": known.se, "auc_interval": within}
    for name, figure in figures.items():
        facts[name] = figure(marks, scores)
        facts[f"{name}_interval"] = (
            _within(lambda drawn, of=figure: of(marks[drawn], scores[drawn]), patients, replicates)  # type: ignore[misc]
            if enough
            else None
        )
    return facts, {
        "roc": _points(roc_curve(marks, scores)),
        "precision_recall": _points(precision_recall(marks, scores)),
    }


def _owners(those: NDArray[np.bool_], patients: Sequence[str] | NDArray[np.generic]) -> int:
    """Count the patients of some candidates."""
    return len(np.unique(np.asarray(patients)[those]))


def _enough(facts: Mapping[str, Any]) -> bool:
    """Return whether two patients have the class, and two have others: a variance needs them."""
    return bool(min(facts["patients_pos"], facts["patients_neg"]) > 1)


def _called(
    lesion: NDArray[np.bool_],
    scores: NDArray[np.float64],
    patients: Sequence[str] | NDArray[np.generic],
    operating_point: float,
    replicates: int,
) -> dict[str, Any]:
    """Return how often it is right to call a candidate positive from the operating point on, and not below."""
    called = scores >= operating_point
    facts: dict[str, Any] = {"operating_point": operating_point, "called": int(called.sum())}
    of = ((lesion, called), (~lesion, ~called), (called, lesion))
    for name, (those, right) in zip(SHARES, of, strict=True):
        facts[name] = float(right[those].mean()) if those.any() else None
        # Of 0 or 1, or of one patient's, every draw would say the same, and an interval of no width would be a lie.
        varies = facts[name] not in {None, 0.0, 1.0} and _owners(those, patients) > 1
        facts[f"{name}_interval"] = _within(_share(those, right), patients, replicates) if varies else None
    return facts


def _share(those: NDArray[np.bool_], right: NDArray[np.bool_]) -> Callable[[NDArray[np.intp]], float]:
    """Return which share of ``those`` among drawn candidates is ``right``; a draw without any of them has none."""

    def share(drawn: NDArray[np.intp]) -> float:
        found = right[drawn[those[drawn]]]
        if not len(found):  # nothing to be right about: drawn again, for the share is of draws that have one
            raise OneClass("none of the drawn")
        return float(found.mean())

    return share


def _froc(
    lesion: NDArray[np.bool_],
    scores: NDArray[np.float64],
    patients: Sequence[str] | NDArray[np.generic],
    looked_at: LookedAt,
    replicates: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what FROC says, and its points."""
    marks = lesion.astype(np.int64)
    images, missed, lesions = looked_at
    count = missed if isinstance(missed, int) else len(missed)
    curve = froc_curve(marks, scores, images=len(images), missed=count, lesions=lesions)
    within = None
    # Whose a lesion is decides what is drawn with it: where nobody says, there is nothing to draw.
    whose = missed if not isinstance(missed, int) else None if missed else ()
    if whose is not None:
        try:
            within = wide(
                cpm_interval(
                    *(marks, scores, patients),
                    images=images,
                    missed=whose,
                    lesions=lesions,
                    replicates=replicates,
                )
            )
        except TooFewPatients:
            within = None
    hit = len(np.unique(np.asarray(lesions)[lesion]))
    facts = {"cpm": cpm(curve), "cpm_interval": within, "images": len(images), "lesions": hit + count, "missed": count}
    return facts, _points(curve)


def _within(
    figure: Callable[[NDArray[np.intp]], float], patients: Sequence[str] | NDArray[np.generic], replicates: int
) -> tuple[float, float] | None:
    try:
        return wide(interval(figure, patients, replicates=replicates))
    except TooFewPatients:
        return None


def _points(curve: Any) -> dict[str, list[float | None]]:
    """Return a curve's lists; JSON has no infinity, and the threshold at which nothing is called becomes None."""
    return {
        name: [float(value) if np.isfinite(value) else None for value in values]
        for name, values in curve._asdict().items()
    }
