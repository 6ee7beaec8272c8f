"""The strategies by name, and the one call that ranks a pool with any of them."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import TIE_DIGITS, majority, measure, score

__all__ = ["STRATEGIES", "Pick", "Strategy", "rank"]


@dataclass(frozen=True)
class Strategy:
    """One acquisition function: AIFT's two weights (lambda 1 and 2) and the majority share; no weights means random."""

    name: str
    entropy: float = 0.0
    diversity: float = 0.0
    alpha: float = 1.0


@dataclass(frozen=True)
class Pick:
    """One candidate's place in the order of reading.

    ``score`` falls with ``rank`` (0 first). ``entropy`` (mean of the kept patches) and ``diversity`` (scaled mean over
    their pairs) are the two terms in nats, normalised as in `overread_learn.acquisition.aift.score`; ``majority`` is
    the number k of patches kept, ``dominant`` the class of largest mean probability.
    """

    id: str
    rank: int
    score: float
    entropy: float
    diversity: float
    majority: int
    dominant: int


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            Strategy("random"),
            Strategy("entropy", entropy=1),
            Strategy("entropy@.25", entropy=1, alpha=0.25),
            Strategy("diversity", diversity=1),
            Strategy("diversity@.25", diversity=1, alpha=0.25),
            Strategy("sum", entropy=1, diversity=1),
            Strategy("sum@.25", entropy=1, diversity=1, alpha=0.25),
        )
    }
)
"""AIFT's six variants (CVPR 2017, Table 2; ``sum`` is entropy + diversity, ``@.25`` majority selection), and random."""


def rank(
    ids: Sequence[str], logits: Sequence[NDArray[np.floating]], strategy: str, *, seed: int, k_ref_m: int
) -> list[Pick]:
    """Rank a pool, best first.

    ``logits[i]`` is (m_i, classes) of candidate ``ids[i]``; ``k_ref_m`` is the application's nominal m, from which the
    reference k follows. ``seed`` matters to ``random`` alone: its key is a keyed hash of the id, so a candidate keeps
    its place relative to the others while the pool grows or shrinks.

    The score is AIFT's, in nats. A candidate with one kept patch has no diversity; if a strategy that weighs diversity
    meets such candidates, every score becomes a percentile: of entropy among them, of the score among the others.
    Scores equal to 12 digits are ties, and the smaller id comes first: the same pool gives the same order, always.

    Raises ValueError on an empty pool, an unknown strategy, ids that repeat, or logits that do not fit.
    """
    chosen = _strategy(strategy)
    _check(ids, logits)
    entropy, diversity, total = np.empty((3, len(ids)))
    k, dominant = np.empty((2, len(ids)), dtype=np.int64)
    k_ref = majority(chosen.alpha, k_ref_m)
    by_patches: dict[int, list[int]] = defaultdict(list)
    for index, candidate in enumerate(logits):
        by_patches[len(candidate)].append(index)
    for members in by_patches.values():
        found = measure(np.stack([logits[index] for index in members]), chosen.alpha)
        entropy[members], diversity[members] = score(found, k_ref, 1, 0), score(found, k_ref, 0, 1)
        total[members] = score(found, k_ref, chosen.entropy, chosen.diversity)
        k[members], dominant[members] = found.k, found.dominant
    if chosen.entropy == chosen.diversity == 0:
        total = np.array([_lot(seed, candidate) for candidate in ids])
    elif chosen.diversity and (k == 1).any():
        single = k == 1
        total[single], total[~single] = _percentile(entropy[single]), _percentile(total[~single])
    level = _levels(total)
    order = sorted(range(len(ids)), key=lambda index: (-level[index], ids[index]))
    return [
        Pick(
            id=ids[index],
            rank=place,
            score=float(total[index]),
            entropy=float(entropy[index]),
            diversity=float(diversity[index]),
            majority=int(k[index]),
            dominant=int(dominant[index]),
        )
        for place, index in enumerate(order)
    ]


def _strategy(name: str) -> Strategy:
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}; known are {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def _check(ids: Sequence[str], logits: Sequence[NDArray[np.floating]]) -> None:
    if not ids:
        raise ValueError("the pool is empty: there is no candidate to rank")
    if len(ids) != len(logits):
        raise ValueError(f"{len(ids)} ids came with {len(logits)} arrays of logits")
    if len(set(ids)) < len(ids):
        raise ValueError("candidate ids repeat in the pool")
    classes = logits[0].shape[-1]
    for candidate, array in zip(ids, logits, strict=True):
        if array.ndim != 2 or array.shape[1] != classes or not len(array):  # patch, class
            raise ValueError(f"candidate {candidate}: logits are {array.shape}, not (patches, {classes})")
        if not np.isfinite(array).all():
            raise ValueError(f"candidate {candidate}: a logit is not finite")


def _lot(seed: int, candidate: str) -> float:
    """Draw a number in [0, 1) that depends on the seed and the candidate alone."""
    digest = hashlib.blake2b(candidate.encode(), digest_size=8, key=str(seed).encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53  # what fits a float64 exactly


def _levels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each value's place among the distinct ones, lowest 0, (n,); neighbours within 12 digits count as one.

    Comparing neighbours, rather than rounding, never parts two equal scores that lie on either side of a rounding edge.
    """
    order = np.argsort(values)
    ascending = values[order]
    tolerance = 10.0**-TIE_DIGITS * np.maximum(1, np.abs(ascending[1:]))
    level = np.empty(len(values), dtype=np.int64)
    level[order] = np.concatenate([[0], np.cumsum(np.diff(ascending) > tolerance)])
    return level


def _percentile(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's mid-rank over the number of values, within (0, 1); ties share theirs."""
    if not len(values):
        return values
    _, inverse, counts = np.unique(_levels(values), return_inverse=True, return_counts=True)
    midrank: NDArray[np.float64] = np.cumsum(counts) - counts / 2
    return midrank[inverse] / len(values)
