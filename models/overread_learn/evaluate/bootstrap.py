"""Resampling whole patients: the candidates of one patient are drawn together, or not at all.

Two ways: any figure, drawn and computed again; and AUCs, for many scores of the same candidates at once, where one
patient-against-patient table of wins makes a replicate a product of three matrices.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.roc import OneClass, TooFewPatients, macro_auc

__all__ = ["PatientBootstrap", "interval", "percentiles", "wide"]

NARROWEST = 1e-12
"""Of an interval: what is narrower has no width, but for rounding."""

AT_ONCE = 64
"""Patients whose negatives are counted in one table."""
PATIENCE = 20
"""Draws a replicate, on average, before a figure counts as one that cannot be had from these patients."""
RAREST = 25_000
"""Draws a replicate, on average, before a table's draws give way to weights: 20 s of one core for 1000 replicates."""
GRACE = 10
"""Replicates that luck may owe on the way: one draw in RAREST that has all classes is still told from none."""


def interval(
    figure: Callable[[NDArray[np.intp]], float],
    patients: Sequence[str] | NDArray[np.generic],
    *,
    replicates: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
) -> tuple[float, float]:
    """Return the 1 - alpha percentile interval of a figure, with patients drawn with replacement.

    ``figure`` takes the drawn candidates' indices into ``patients``, (n,). A draw on which it raises OneClass is drawn
    again. Raises TooFewPatients where there are fewer than two, or nearly all draws are such.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2:  # every draw would be the same, and an interval of no width a lie
        raise TooFewPatients(f"an interval needs two patients, got {len(names)}")
    members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    rng = np.random.default_rng(seed)
    found: list[float] = []
    for _ in range(PATIENCE * replicates):
        drawn = rng.integers(0, len(names), len(names))
        try:
            found.append(figure(np.concatenate([members[index] for index in drawn])))
        except OneClass:
            continue
        if len(found) == replicates:
            return percentiles(found, alpha)
    raise TooFewPatients(f"of {PATIENCE * replicates} draws from {len(names)} patients, {len(found)} had all classes")


def percentiles(replicates: ArrayLike, alpha: float = 0.05) -> tuple[float, float]:
    """Return the 1 - alpha percentile interval of a figure's replicates, (replicates,)."""
    lower, upper = np.quantile(np.asarray(replicates, np.float64), [alpha / 2, 1 - alpha / 2])
    return float(lower), float(upper)


def wide(found: tuple[float, float]) -> tuple[float, float] | None:
    """Return an interval that has a width, None for one that has none: it would claim to be sure."""
    return found if found[1] - found[0] > NARROWEST else None


class PatientBootstrap:
    """Draws of patients with replacement, the same ones for every score: differences between scores are paired."""

    def __init__(
        self, truth: ArrayLike, patients: Sequence[str] | NDArray[np.generic], *, replicates: int, seed: int
    ) -> None:
        """Draw ``replicates`` times; a draw that lacks a class is drawn again.

        Where hardly a draw has all classes, patients get Rubin's weights instead (Annals of Statistics 9 (1981)
        130-134): Dirichlet(1, ..., 1), the bootstrap's mean and, but for n / (n + 1), its variance, and never a patient
        without weight. Draws that luck alone let through would be of nearly every patient once, and their intervals too
        narrow. Of a class that one patient alone has, neither can tell how patients differ.

        ``truth`` (n,) are labels, ``patients`` (n,) name whose candidate each is. Raises OneClass where fewer than two
        classes are present, ValueError on other lengths.
        """
        self._truth = np.asarray(truth)
        _, self._owner = np.unique(np.asarray(patients), return_inverse=True)
        if self._owner.shape != self._truth.shape:
            raise ValueError(f"{self._truth.size} labels came with {self._owner.size} patients")
        self._classes = np.unique(self._truth)
        if len(self._classes) < 2:
            raise OneClass(f"all {len(self._truth)} labels are {self._classes.tolist()}")
        self.weights = self._draw(replicates, np.random.default_rng(seed))
        """How often each patient was drawn, or Rubin's weights; (replicates, patients), of sum ``patients`` each."""

    def macro_auc(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the AUC of every replicate, (replicates,), as `overread_learn.evaluate.macro_auc` of (n,) or (n, C).

        Raises ValueError on other shapes, labels or values.
        """
        macro_auc(self._truth, scores)  # for its errors
        columns = np.asarray(scores, dtype=np.float64)
        if columns.ndim == 1:
            return self._auc(self._truth == 1, columns)
        if columns.shape[1] == 2:
            return self._auc(self._truth == 1, columns[:, 1])
        each = [self._auc(self._truth == value, columns[:, value]) for value in self._classes]
        mean: NDArray[np.float64] = np.mean(each, axis=0)
        return mean

    def _draw(self, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
        patients = int(self._owner.max()) + 1
        has = np.array([np.bincount(self._owner[self._truth == value], minlength=patients) for value in self._classes])
        kept, tried = np.empty((0, patients)), 0
        while len(kept) < replicates:
            if tried > (len(kept) + GRACE) * RAREST:
                return patients * rng.dirichlet(np.ones(patients), size=replicates)
            tried += replicates
            drawn = rng.multinomial(patients, np.full(patients, 1 / patients), size=replicates)
            kept = np.concatenate([kept, drawn[(drawn @ has.T > 0).all(axis=1)]])
        return kept[:replicates]

    def _auc(self, positive: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
        pos_names, pos_owner = np.unique(self._owner[positive], return_inverse=True)
        neg_names, neg_owner = np.unique(self._owner[~positive], return_inverse=True)
        wins = _wins(values[positive], pos_owner, values[~positive], neg_owner)
        of_pos, of_neg = self.weights[:, pos_names], self.weights[:, neg_names]
        won: NDArray[np.float64] = np.einsum("rn,rn->r", of_pos @ wins, of_neg)
        return won / ((of_pos @ np.bincount(pos_owner)) * (of_neg @ np.bincount(neg_owner)))


def _wins(
    positives: NDArray[np.float64],
    pos_owner: NDArray[np.intp],
    negatives: NDArray[np.float64],
    neg_owner: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Count how often positives of one patient score above negatives of another, ties half; (patients, patients).

    Owners are numbers from 0, each with at least one member.
    """
    by_owner = np.argsort(pos_owner, kind="stable")
    positives = positives[by_owner]
    starts = np.searchsorted(pos_owner[by_owner], np.arange(pos_owner.max() + 1))
    blocks = []
    for first in range(0, int(neg_owner.max()) + 1, AT_ONCE):
        inside = (neg_owner >= first) & (neg_owner < first + AT_ONCE)
        order = np.argsort(negatives[inside])
        ranked = negatives[inside][order]
        owners = neg_owner[inside][order] - first
        # Row k: how many of the k smallest negatives each patient owns.
        counts = np.zeros((len(ranked) + 1, int(owners.max()) + 1))
        counts[np.arange(len(ranked)) + 1, owners] = 1
        np.cumsum(counts, axis=0, out=counts)
        below = counts[np.searchsorted(ranked, positives, side="left")]
        below += counts[np.searchsorted(ranked, positives, side="right")]
        blocks.append(np.add.reduceat(below, starts, axis=0) / 2)
    return np.concatenate(blocks, axis=1)
