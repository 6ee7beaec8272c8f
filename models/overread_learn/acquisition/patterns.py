"""The seven patterns of a candidate's patch probabilities (Zhou et al., CVPR 2017, Table 1)."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import BINARY, measure
from overread_learn.acquisition.pool import patch_probabilities

__all__ = ["BINS", "PATTERNS", "Tally", "pattern", "pattern_class", "tally"]

BINS = 10
"""Of a histogram over 0..1."""
_QUANTILES = (np.arange(100) + 0.5) / 100


def _outliers(share: float) -> NDArray[np.float64]:
    """Quantiles of a pattern with so large a share near 0, and the rest spread evenly up to 1."""
    return np.where(share > _QUANTILES, 0.0, (_QUANTILES - share) / (1 - share))


PATTERNS: Mapping[str, NDArray[np.float64]] = MappingProxyType(
    {
        "A": np.full(100, 0.5),
        "B": _QUANTILES.copy(),
        "C": np.where(_QUANTILES < 0.5, 0.0, 1.0),
        "D": np.zeros(100),
        "E": np.ones(100),
        "F": _outliers(0.8),
        "G": 1 - _outliers(0.8)[::-1],
    }
)
"""What each stands for, as 100 quantiles: A all in the middle, B spread evenly, C half at either end, D at 0, E at 1,
F at 0 and G at 1 with some outliers."""


def pattern(probabilities: NDArray[np.floating]) -> str:
    """Return the pattern nearest to (m,) patch probabilities of one class, by the earth mover's distance.

    The distance between two distributions on a line is the mean difference of their quantiles, so no threshold has to
    be chosen. Raises ValueError where there is none, or one lies outside 0..1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a pattern is of at least one probability within 0..1")
    own = np.sort(p)[np.minimum((_QUANTILES * len(p)).astype(int), len(p) - 1)]
    return min(PATTERNS, key=lambda name: float(np.abs(own - PATTERNS[name]).mean()))


def pattern_class(dominant: int, classes: int) -> int:
    """Return whose probabilities a candidate's pattern is of.

    Of two classes it is the second, which is what is looked for, of more the likeliest, ``dominant``.
    """
    return classes - 1 if classes == BINARY else dominant


class Tally(NamedTuple):
    """What the patches of some candidates say together."""

    patterns: Mapping[str, int]
    """How many candidates have which pattern; those that none has are left out."""
    histogram: list[int]
    """How many of all their patches have which probability of `pattern_class`, in `BINS` bins over 0..1."""


def tally(logits: NDArray[np.floating]) -> Tally:
    """Count the patterns and probabilities of candidates from their logits, (n, m, C). Raises as `measure` does."""
    of = np.array([pattern_class(int(one), logits.shape[2]) for one in measure(logits, 1.0).dominant], np.int64)
    p = np.take_along_axis(patch_probabilities(logits), of[:, None, None], axis=2)[..., 0]
    counts, _ = np.histogram(p, bins=BINS, range=(0, 1))
    return Tally(dict(sorted(Counter(pattern(each) for each in p).items())), counts.tolist())
